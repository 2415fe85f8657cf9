//! Conversions of binary16 and bfloat16: all of them, and every place where rounding turns.

use super::model::decode_half;
use super::*;

const FORMATS: [(u32, Prim, Prim, Prim); 2] =
    [(5, Prim::F16To32, Prim::F32To16, Prim::F64To16), (8, Prim::Bf16To32, Prim::F32ToBf16, Prim::F64ToBf16)];

#[test]
fn every_half_widens() {
    for (exponent_bits, widen, ..) in FORMATS {
        let all: Vec<u64> = (0..1 << 16).collect();
        let got = run_prim(widen, &[Ty::I16], Ty::F32, 0, &[all]);
        for (h, got) in got.into_iter().enumerate() {
            let expected = (decode_half(h as u64, exponent_bits) as f32).to_bits() as u64;
            assert_eq!(canonical(Ty::F32, got), canonical(Ty::F32, expected), "{h:#x}");
        }
    }
}

/// Numbers and the half they round to: each half itself, and the middles between neighbours with what is next to them.
fn roundings(exponent_bits: u32, next_down: fn(f64) -> f64, next_up: fn(f64) -> f64) -> Vec<(f64, u64)> {
    let infinity = ((1u64 << exponent_bits) - 1) << (15 - exponent_bits);
    let value = |h: u64| match h == infinity {
        true => 2f64.powi(1 << (exponent_bits - 1)),
        false => decode_half(h, exponent_bits),
    };
    let mut cases = vec![(f64::INFINITY, infinity), (f64::MAX, infinity), (1e-320, 0)];
    for h in 0..infinity {
        let middle = (value(h) + value(h + 1)) / 2.0;
        cases.push((value(h), h));
        cases.push((middle, h + h % 2));
        cases.push((next_down(middle), h));
        cases.push((next_up(middle), h + 1));
    }
    cases.iter().flat_map(|&(x, h)| [(x, h), (-x, h | 0x8000)]).collect()
}

#[test]
fn rounding_from_f64() {
    for (exponent_bits, _, _, narrow) in FORMATS {
        let mut cases = roundings(exponent_bits, f64::next_down, f64::next_up);
        // Beside a middle, where the nearest `f32` is already the one after it.
        fn past(x: f64, next: f32) -> f64 {
            x + 0.9 * (next as f64 - x)
        }
        let nearly = |x: f64| past(x, (x as f32).next_up());
        let almost = |x: f64| past(x, (x as f32).next_down());
        cases.extend(roundings(exponent_bits, almost, nearly).into_iter().filter(|(x, _)| x.abs() < 3.4e38));
        let got = run_prim(narrow, &[Ty::F64], Ty::I16, 0, &[cases.iter().map(|c| c.0.to_bits()).collect()]);
        for ((x, expected), got) in cases.into_iter().zip(got) {
            assert_eq!(got, expected, "{narrow:?} of {x:e}: {got:#x}, not {expected:#x}");
        }
    }
}

#[test]
fn rounding_from_f32() {
    for (exponent_bits, _, narrow, _) in FORMATS {
        // The middles are numbers of `f32` as well; what exceeds it is infinite there.
        let cases = roundings(exponent_bits, |x| (x as f32).next_down() as f64, |x| (x as f32).next_up() as f64);
        let bits = cases.iter().map(|c| (c.0 as f32).to_bits() as u64).collect();
        let got = run_prim(narrow, &[Ty::F32], Ty::I16, 0, &[bits]);
        for ((x, expected), got) in cases.into_iter().zip(got) {
            assert_eq!(got, expected, "{narrow:?} of {x:e}: {got:#x}, not {expected:#x}");
        }
    }
}

#[test]
fn nan_stays_nan() {
    for (_, _, narrow32, narrow64) in FORMATS {
        // With the payload only in bits that the half has not.
        let nan32 = vec![0x7f80_0001, 0xff80_0001, 0x7fff_ffff];
        let nan64 = vec![0x7ff0_0000_0000_0001, 0xfff0_0000_0000_0001, u64::MAX];
        let limit = if narrow32 == Prim::F32To16 { 0x7c00 } else { 0x7f80 };
        let got = run_prim(narrow32, &[Ty::F32], Ty::I16, 0, &[nan32]);
        assert!(got.iter().all(|h| h & 0x7fff > limit), "{got:x?}");
        let got = run_prim(narrow64, &[Ty::F64], Ty::I16, 0, &[nan64]);
        assert!(got.iter().all(|h| h & 0x7fff > limit), "{got:x?}");
    }
}
