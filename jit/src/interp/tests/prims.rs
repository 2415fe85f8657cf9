//! Every primitive, with every type it takes, on every combination of edge values.

use super::model::{eval, raises};
use super::*;
use crate::kernel::Sig;
use crate::{Kernel, Routine, eval_scalar};
use lazuli_graph::Scalar;

/// The types a primitive can have: of its arguments, and of its result.
fn signatures(prim: Prim) -> Vec<(Vec<Ty>, Ty)> {
    let n = prim.row().arity as usize;
    let floats = [Ty::F32, Ty::F64];
    let ints = [Ty::I8, Ty::I16, Ty::I32, Ty::I64];
    match prim.row().sig {
        Sig::Source => vec![],
        Sig::Float => floats.map(|t| (vec![t; n], t)).to_vec(),
        Sig::Int => ints.map(|t| (vec![t; n], t)).to_vec(),
        Sig::FloatCompare => floats.map(|t| (vec![t; n], Ty::M)).to_vec(),
        Sig::IntCompare => ints.map(|t| (vec![t; n], Ty::M)).to_vec(),
        Sig::Mask => vec![(vec![Ty::M; n], Ty::M)],
        Sig::Select if prim == Prim::CallIf => floats.map(|t| (vec![Ty::M, t, t], t)).to_vec(),
        Sig::Select => Ty::ALL[1..].iter().map(|&t| (vec![Ty::M, t, t], t)).collect(),
        Sig::Convert => (Ty::ALL.into_iter().flat_map(|from| Ty::ALL.map(|to| (vec![from], to))))
            .filter(|(from, to)| crate::verify::converts(prim, from[0], *to))
            .collect(),
    }
}

/// Rows of arguments: all combinations of edge values, thinned out for three arguments, and random ones.
fn arguments(types: &[Ty]) -> Vec<Vec<u64>> {
    let mut rows: Vec<Vec<u64>> = vec![vec![]];
    for &ty in types {
        let edges = edges(ty);
        rows = rows.iter().flat_map(|row| edges.iter().map(|&e| [&row[..], &[e]].concat())).collect();
    }
    let keep = 1 + rows.len() / 5000;
    let mut rows: Vec<Vec<u64>> = rows.into_iter().step_by(keep).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..600 {
        let bits = |ty: &Ty| if *ty == Ty::M { 1 } else { u64::MAX >> (64 - 8 * ty.size()) };
        rows.push(types.iter().map(|ty| random.next() & bits(ty)).collect());
    }
    rows
}

fn check(prim: Prim, types: &[Ty], ty: Ty, imm: u64) {
    let from = if matches!(prim, Prim::Select | Prim::CallIf) { ty } else { types[0] };
    let mut rows = arguments(types);
    if prim == Prim::FRaise {
        let mut random = Random(7);
        // Most of the others are none that it has to take.
        rows.extend((0..3000).map(|_| {
            let mut unit = || (random.next() >> 40) as f64 / (1u64 << 24) as f64;
            let (a, k) = (unit() * 1.5 - 0.9, ((unit() - 0.5) * if ty == Ty::F32 { 384.0 } else { 3072.0 }).trunc());
            [a, k].map(|x| if ty == Ty::F32 { (x as f32).to_bits().into() } else { x.to_bits() }).to_vec()
        }));
        rows.retain(|row| raises(ty, row[0], row[1]));
        assert!(rows.len() > 3000);
    }
    let columns: Vec<Vec<u64>> = (0..types.len()).map(|k| rows.iter().map(|row| row[k]).collect()).collect();
    let got = run_prim(prim, types, ty, imm, &columns);
    assert_eq!(got.len(), rows.len());
    let result = |bits| match prim {
        Prim::F32To16 | Prim::F64To16 if bits & 0x7fff > 0x7c00 => 0x7e00,
        Prim::F32ToBf16 | Prim::F64ToBf16 if bits & 0x7fff > 0x7f80 => 0x7fc0,
        // These work on the bits, so NaN is no matter.
        Prim::FNeg | Prim::FAbs | Prim::FCopysign | Prim::Select | Prim::Bitcast | Prim::FMin | Prim::FMax => bits,
        _ => canonical(ty, bits),
    };
    for (i, (row, got)) in rows.iter().zip(got).enumerate() {
        let expected = eval(prim, from, ty, imm, row);
        let text = || format!("{} {types:?} to {ty:?} of {row:x?}: {got:#x}, not {expected:#x}", prim.row().name);
        assert_eq!(result(got), result(expected), "{}", text());
        if i % 37 == 0 {
            let folded = fold(prim, types, ty, imm, row);
            assert_eq!(result(folded), result(expected), "folded: {}", text());
        }
    }
}

/// The primitive on constants, which are evaluated while the kernel is prepared.
fn fold(prim: Prim, types: &[Ty], ty: Ty, imm: u64, row: &[u64]) -> u64 {
    let mut b = Builder::new();
    let mut args = [crate::ValueId(0); 3];
    for (k, &arg) in types.iter().enumerate() {
        args[k] = b.bits(arg, row[k]);
    }
    let mut v = b.inst(prim, ty, args, imm);
    if ty == Ty::M {
        v = b.mask_to_int(Ty::I8, v);
    }
    let out = b.operand(Role::Output, dtype(ty), Class::Contiguous);
    b.store(out, v);
    let kernel: Kernel = b.finish();
    assert_eq!(kernel.verify(), Ok(()));
    eval_scalar(&kernel, &[])[0].bits()
}

#[test]
fn every_primitive() {
    let mut tested = 0;
    for &prim in Prim::ALL {
        for (types, ty) in signatures(prim) {
            match prim {
                Prim::Call1 | Prim::Call2 | Prim::CallIf => {
                    let arity = if prim == Prim::Call2 { 2 } else { 1 };
                    for r in Routine::ALL.iter().filter(|r| r.arity() == arity) {
                        check(prim, &types, ty, r.imm());
                    }
                }
                _ => check(prim, &types, ty, 0),
            }
            tested += 1;
        }
    }
    assert!(tested > 180, "{tested}");
}

#[test]
fn constants_of_every_type() {
    for ty in Ty::ALL {
        for bits in edges(ty) {
            let mut b = Builder::new();
            let v = b.bits(ty, bits);
            let v = if ty == Ty::M { b.mask_to_int(Ty::I8, v) } else { v };
            let out = b.operand(Role::Output, dtype(ty), Class::Strided);
            b.store(out, v);
            assert_eq!(eval_scalar(&b.finish(), &[])[0].bits(), bits, "{ty:?}");
        }
    }
}

#[test]
fn fma_rounds_once() {
    // (1 + 2^-30)^2 = 1 + 2^-29 + 2^-60, whose last term a product alone would lose.
    let x = 1.0 + 2f64.powi(-30);
    let got = run_prim(
        Prim::Fma,
        &[Ty::F64; 3],
        Ty::F64,
        0,
        &[vec![x.to_bits()], vec![x.to_bits()], vec![(-1.0 - 2f64.powi(-29)).to_bits()]],
    );
    assert_eq!(f64::from_bits(got[0]), 2f64.powi(-60));
    let y = 1.0 + 2f32.powi(-13);
    let got = run_prim(
        Prim::Fma,
        &[Ty::F32; 3],
        Ty::F32,
        0,
        &[vec![y.to_bits() as u64], vec![y.to_bits() as u64], vec![(-1.0 - 2f32.powi(-12)).to_bits() as u64]],
    );
    assert_eq!(f32::from_bits(got[0] as u32), 2f32.powi(-26));
    // And a product and a sum are rounded twice: nothing contracts them.
    let mut b = Builder::new();
    let (i, o) =
        (b.operand(Role::Input, DType::F64, Class::Contiguous), b.operand(Role::Output, DType::F64, Class::Contiguous));
    let (v, c) = (b.load(i), b.float(Ty::F64, -1.0 - 2f64.powi(-29)));
    let square = b.fmul(v, v);
    let sum = b.fadd(square, c);
    b.store(o, sum);
    assert_eq!(eval_scalar(&b.finish(), &[Scalar::from_f64(DType::F64, x)])[0].as_f64(), 0.0);
}

/// Values of routines, known to more digits than a float holds.
#[test]
fn routines_are_the_functions_they_name() {
    let cases: [(Routine, f64, f64); 16] = [
        (Routine::Exp, 1.0, std::f64::consts::E),
        (Routine::Exp2, 0.5, std::f64::consts::SQRT_2),
        (Routine::Expm1, 1e-20, 1e-20),
        (Routine::Log, 2.0, std::f64::consts::LN_2),
        (Routine::Log2, 8.0, 3.0),
        (Routine::Log10, 1000.0, 3.0),
        (Routine::Log1p, 1e-20, 1e-20),
        (Routine::Sin, 1.0, 0.841_470_984_807_896_5),
        (Routine::Cos, 1.0, 0.540_302_305_868_139_8),
        (Routine::Tan, 1.0, 1.557_407_724_654_902_3),
        (Routine::Asin, 1.0, std::f64::consts::FRAC_PI_2),
        (Routine::Acos, -1.0, std::f64::consts::PI),
        (Routine::Atan, 1.0, std::f64::consts::FRAC_PI_4),
        (Routine::Sinh, 1.0, 1.175_201_193_643_801_4),
        (Routine::Cosh, 1.0, 1.543_080_634_815_243_7),
        (Routine::Tanh, 1.0, 0.761_594_155_955_764_9),
    ];
    for (r, x, y) in cases {
        assert_eq!(r.f64_1()(x), y, "{}", r.name());
        assert_eq!(r.f32_1()(x as f32), y as f32, "{}", r.name());
        assert!(r.f64_2()(1.0, 1.0).is_nan() && r.f32_2()(1.0, 1.0).is_nan());
        assert_eq!((Routine::from_imm(r.imm()), Routine::from_name(r.name())), (Some(r), Some(r)));
    }
    for (r, x, y, z) in [
        (Routine::Atan2, 1.0, -1.0, 3.0 * std::f64::consts::FRAC_PI_4),
        (Routine::Hypot, 3.0 * 2f64.powi(600), 4.0 * 2f64.powi(600), 5.0 * 2f64.powi(600)),
        (Routine::Pow, 2.0, 0.5, std::f64::consts::SQRT_2),
    ] {
        assert_eq!(r.f64_2()(x, y), z, "{}", r.name());
        assert!(r.f64_1()(1.0).is_nan() && r.f32_1()(1.0).is_nan());
        assert_eq!((Routine::from_imm(r.imm()), Routine::from_name(r.name())), (Some(r), Some(r)));
    }
    assert_eq!(Routine::Hypot.f32_2()(3.0, 4.0), 5.0);
    assert_eq!(Routine::Pow.f32_2()(2.0, -3.0), 0.125);
    assert_eq!(Routine::Atan2.f32_2()(0.0, -1.0), std::f32::consts::PI);
    assert_eq!(Routine::from_imm(Routine::ALL.len() as u64), None);
}
