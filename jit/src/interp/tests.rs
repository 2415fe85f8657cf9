use super::*;
use crate::Builder;
use lazuli_graph::DType;

/// An output row of `a * b + i` for every combination of classes, against a loop over elements.
#[test]
fn layouts() {
    let classes = [Class::Contiguous, Class::Broadcast, Class::Strided];
    let sizes = [
        (0, 3),
        (3, 0),
        (1, 1),
        (3, 1),
        (7, 1),
        (511, 1),
        (512, 1),
        (513, 2),
        (1300, 3),
        (1, 1000),
        (3, 1000),
        (200, 9),
        (300, 9),
    ];
    for (ca, cb, co) in
        classes.iter().flat_map(|&a| classes.map(|b| (a, b))).flat_map(|(a, b)| classes.map(|c| (a, b, c)))
    {
        if co == Class::Broadcast {
            continue;
        }
        let mut k = Builder::new();
        let a = k.operand(Role::Input, DType::F64, ca);
        let b = k.operand(Role::Input, DType::F32, cb);
        let i = k.operand(Role::Index, DType::I64, Class::Strided);
        let o = k.operand(Role::Output, DType::F64, co);
        let (va, vb, vi) = (k.load(a), k.load(b), k.index(i));
        let vb = k.f32_to_64(Ty::F64, vb);
        let half = k.float(Ty::F64, 0.5);
        let vb = k.fmul(vb, half);
        let vi = k.s_to_f(Ty::F64, vi);
        let r = k.fma(va, vb, vi);
        k.store(o, r);
        let interp = Interp::new(&k.finish());
        for (n0, n1) in sizes {
            // Elements per side, with room for steps of up to 3 and gaps; addresses are odd on purpose.
            let room = 3 * n0.max(1) * n1.max(1) + 64;
            let bytes_a: Vec<u8> = [0u8].into_iter().chain((0..room).flat_map(|i| (i as f64).to_ne_bytes())).collect();
            let bytes_b: Vec<u8> =
                [0u8].into_iter().chain((0..room).flat_map(|i| (i as f32 + 0.5).to_ne_bytes())).collect();
            for negative in [false, true] {
                for row_gap in [0, 1] {
                    let lay = |class: Class, size: isize| -> (isize, isize, isize) {
                        let s0 = match class {
                            Class::Contiguous => size,
                            Class::Broadcast => 0,
                            Class::Strided => {
                                if negative {
                                    -2 * size
                                } else {
                                    2 * size
                                }
                            }
                        };
                        let s1 = s0 * n0 as isize + row_gap * size;
                        let s1 = if negative && class == Class::Broadcast { 0 } else { s1 };
                        let low = 0.min(s0 * (n0 as isize - 1)) + 0.min(s1 * (n1 as isize - 1));
                        (-low, s0, s1)
                    };
                    let (la, lb, lo) = (lay(ca, 8), lay(cb, 4), lay(co, 8));
                    let mut out = vec![0xa5u8; 8 * room + 1];
                    let before = out.clone();
                    let mut slab = Slab::new(4);
                    slab.set_extents(n0, n1);
                    slab.set_operand(0, (bytes_a.as_ptr().expose_provenance() + 1) as u64 + la.0 as u64, la.1, la.2);
                    slab.set_operand(1, (bytes_b.as_ptr().expose_provenance() + 1) as u64 + lb.0 as u64, lb.1, lb.2);
                    slab.set_operand(2, -5i64 as u64, -3, 100);
                    slab.set_operand(3, (out.as_mut_ptr().expose_provenance() + 1) as u64 + lo.0 as u64, lo.1, lo.2);
                    #[allow(unsafe_code)]
                    // SAFETY: `room` holds all elements of each operand.
                    unsafe {
                        interp.run(&slab)
                    };
                    let mut expected = before;
                    for j in 0..n1 as isize {
                        for i in 0..n0 as isize {
                            let at = |l: (isize, isize, isize)| (1 + l.0 + i * l.1 + j * l.2) as usize;
                            let a = f64::from_ne_bytes(bytes_a[at(la)..][..8].try_into().unwrap());
                            let b = f32::from_ne_bytes(bytes_b[at(lb)..][..4].try_into().unwrap());
                            let index = -5 - 3 * i + 100 * j;
                            let r = a * (b as f64 * 0.5) + index as f64;
                            expected[at(lo)..][..8].copy_from_slice(&r.to_ne_bytes());
                        }
                    }
                    assert!(out == expected, "{ca:?} {cb:?} {co:?} {n0}x{n1} {negative} {row_gap}");
                }
            }
        }
    }
}
