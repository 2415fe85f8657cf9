//! Strides, alignment, extents, and outputs in the memory of inputs.

use super::*;

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

/// Copies of elements of each size, in every class, with every extent: nothing moves wrongly, nothing else is written.
#[test]
fn copies() {
    for dtype in [DType::U8, DType::F16, DType::I32, DType::F64] {
        let size = dtype.size() as isize;
        for (class, s0) in [(Class::Contiguous, size), (Class::Broadcast, 0), (Class::Strided, -3 * size)] {
            for (out_class, t0) in [(Class::Contiguous, size), (Class::Strided, 2 * size), (Class::Strided, -size)] {
                let mut b = Builder::new();
                let (i, o) = (b.operand(Role::Input, dtype, class), b.operand(Role::Output, dtype, out_class));
                let v = b.load(i);
                b.store(o, v);
                let interp = Interp::new(&b.finish());
                for (n0, n1) in [
                    (0, 1),
                    (1, 1),
                    (3, 1),
                    (7, 1),
                    (511, 1),
                    (512, 1),
                    (513, 1),
                    (2, 700),
                    (15, 90),
                    (17, 90),
                    (257, 5),
                    (1, 600),
                ] {
                    let (s1, t1) = (s0 * n0 as isize - size, t0 * n0 as isize + size * t0.signum());
                    let low =
                        |s0: isize, s1: isize| 1 - (s0 * (n0 as isize - 1)).min(0) - (s1 * (n1 as isize - 1)).min(0);
                    let (start, target) = (low(s0, s1), low(t0, t1));
                    let room = 5 * size as usize * (n0 + 2) * (n1 + 2);
                    let input: Vec<u8> = (0..room).map(|k| (k * 31 % 251) as u8).collect();
                    let mut output = vec![0u8; room];
                    let mut slab = Slab::new(2);
                    slab.set_extents(n0, n1);
                    slab.set_operand(0, input.as_ptr().expose_provenance() as u64 + start as u64, s0, s1);
                    slab.set_operand(1, output.as_mut_ptr().expose_provenance() as u64 + target as u64, t0, t1);
                    #[allow(unsafe_code)]
                    // SAFETY: `room` holds the elements of both.
                    unsafe {
                        interp.run(&slab);
                    }
                    let mut expected = vec![0u8; room];
                    for (i, j) in (0..n1 as isize).flat_map(|j| (0..n0 as isize).map(move |i| (i, j))) {
                        let (from, to) = ((start + i * s0 + j * s1) as usize, (target + i * t0 + j * t1) as usize);
                        expected[to..to + size as usize].copy_from_slice(&input[from..from + size as usize]);
                    }
                    assert!(output == expected, "{dtype} {class:?} {out_class:?} {n0}x{n1}");
                }
            }
        }
    }
}

/// An output that is exactly an input, of all classes that can be: `x = x * y + x`, `y` untouched.
#[test]
fn in_place() {
    for (class, s0) in [(Class::Contiguous, 8isize), (Class::Strided, 16), (Class::Strided, -8)] {
        let mut b = Builder::new();
        let x = b.operand(Role::Input, DType::F64, class);
        let y = b.operand(Role::Input, DType::F64, Class::Broadcast);
        let o = b.operand(Role::Output, DType::F64, class);
        let (vx, vy) = (b.load(x), b.load(y));
        let product = b.fmul(vx, vy);
        let sum = b.fadd(product, vx);
        b.store(o, sum);
        let interp = Interp::new(&b.finish());
        for (n0, n1) in [(1, 1), (3, 1), (513, 1), (2000, 1), (3, 400), (600, 4), (1, 500)] {
            let s1 = s0 * (n0 as isize + 1);
            let mut memory: Vec<f64> = (0..2 * (n0 + 1) * (n1 + 1)).map(|k| k as f64).collect();
            let before = memory.clone();
            let factor = 3.0f64;
            let start = -(s0 * (n0 as isize - 1)).min(0) - (s1 * (n1 as isize - 1)).min(0);
            let base = memory.as_mut_ptr().expose_provenance() as u64 + start as u64;
            let mut slab = Slab::new(3);
            slab.set_extents(n0, n1);
            slab.set_operand(0, base, s0, s1);
            slab.set_operand(1, (&raw const factor).expose_provenance() as u64, 0, 0);
            slab.set_operand(2, base, s0, s1);
            #[allow(unsafe_code)]
            // SAFETY: `memory` holds every element; the output is exactly the first input.
            unsafe {
                interp.run(&slab);
            }
            let mut expected = before;
            for (i, j) in (0..n1 as isize).flat_map(|j| (0..n0 as isize).map(move |i| (i, j))) {
                let at = ((start + i * s0 + j * s1) / 8) as usize;
                expected[at] = expected[at] * 3.0 + expected[at];
            }
            assert!(memory == expected, "{class:?} {s0} {n0}x{n1}");
        }
    }
}

/// Several outputs, one of them from constants alone; many values alive at once, so that tiles are small.
#[test]
fn many_registers() {
    let mut b = Builder::new();
    let x = b.operand(Role::Input, DType::F64, Class::Contiguous);
    let v = b.load(x);
    let mut shifted = |k: u32| {
        let c = b.float(Ty::F64, k as f64);
        b.fadd(v, c)
    };
    let shifted: Vec<_> = (0..60).map(&mut shifted).collect();
    let sum = shifted.into_iter().rev().reduce(|a, c| b.fsub(c, a)).unwrap();
    let (o, p) =
        (b.operand(Role::Output, DType::F64, Class::Contiguous), b.operand(Role::Output, DType::F64, Class::Strided));
    let (two, three) = (b.float(Ty::F64, 2.0), b.float(Ty::F64, 3.0));
    let six = b.fmul(two, three);
    b.store(p, six);
    b.store(o, sum);
    let interp = Interp::new(&b.finish());
    let input: Vec<f64> = (0..1000).map(|k| k as f64).collect();
    let (mut sums, mut sixes) = (vec![0.0f64; 1000], vec![0.0f64; 2000]);
    let mut slab = Slab::new(3);
    slab.set_extents(1000, 1);
    slab.set_operand(0, input.as_ptr().expose_provenance() as u64, 8, 0);
    slab.set_operand(1, sums.as_mut_ptr().expose_provenance() as u64, 8, 0);
    slab.set_operand(2, sixes.as_mut_ptr().expose_provenance() as u64, 16, 0);
    #[allow(unsafe_code)]
    // SAFETY: the arrays hold 1000 elements at these strides.
    unsafe {
        interp.run(&slab);
    }
    for k in 0..1000 {
        // 0 + x - (1 + x - (2 + x - …)): pairs give -1 each, 30 of them.
        assert_eq!((sums[k], sixes[2 * k], sixes[2 * k + 1]), (-30.0, 6.0, 0.0), "{k}");
    }
}
