//! `log`, `log2`, `log10`, `log1p`.
//!
//! `x = 2^k m` with `m` in [sqrt(1/2), sqrt 2), `f = m - 1`, `s = f / (2 + f)`:
//! `log m = 2 atanh s = f - f^2/2 + s (f^2/2 + R(s^2))`, where `f` is exact and only the last two terms carry errors.

use super::coefficients::{LN2, LOG, LOG_F32, LOG2_E, LOG10_2, LOG10_E};
use super::double::{fast_two_sum, two_sum};
use super::poly::{add_c, c, fma_c, from_bits, int, mul_c, poly, to_bits, widened};
use crate::{Builder, Ty, ValueId};

/// The bits of sqrt(1/2).
const LOWEST: u64 = 0x3fe6_a09e_667f_3bcd;
const ONE: u64 = 0x3ff0_0000_0000_0000;
const FRACTION: u64 = 0x000f_ffff_ffff_ffff;

/// `x = 2^k m`, `m` in [sqrt(1/2), sqrt 2), for positive finite `x`; `(k, m)`. Others give finite nonsense.
pub(super) fn split(b: &mut Builder, x: ValueId, subnormals: bool) -> (ValueId, ValueId) {
    // An exponent read as an integer, put under the exponent of 2^52, is that integer plus 2^52.
    let bias = 2f64.powi(52) + 1023.0;
    let (x, bias) = if subnormals {
        let least = c(b, f64::MIN_POSITIVE);
        let small = b.flt(x, least);
        let scaled = mul_c(b, x, 2f64.powi(54));
        let (plain, more) = (c(b, bias), c(b, bias + 54.0));
        (b.select(small, scaled, x), b.select(small, more, plain))
    } else {
        (x, c(b, bias))
    };
    let bits = to_bits(b, x);
    let shift = int(b, ONE - LOWEST);
    let t = b.iadd(bits, shift);
    let width = int(b, 52);
    let e = b.shr_u(t, width);
    let under = int(b, 0x4330_0000_0000_0000);
    let e = b.or(e, under);
    let e = from_bits(b, e);
    let k = b.fsub(e, bias);
    let mask = int(b, FRACTION);
    let m = b.and(t, mask);
    let lowest = int(b, LOWEST);
    let m = b.iadd(m, lowest);
    (k, from_bits(b, m))
}

/// `s (f^2/2 + R)` and `-f/2`: `log(1 + f) = f + (-f/2) f + first`.
fn tail(b: &mut Builder, f: ValueId, coefficients: &[f64]) -> (ValueId, ValueId) {
    let d = add_c(b, f, 2.0);
    let s = b.fdiv(f, d);
    let z = b.fmul(s, s);
    let p = poly(b, z, coefficients);
    let nh = mul_c(b, f, -0.5);
    let nhsq = b.fmul(nh, f);
    // s (z p - nhsq)
    let nhsq = b.fneg(nhsq);
    let r = b.fma(z, p, nhsq);
    (b.fmul(s, r), nh)
}

/// What a logarithm is where its argument is not positive and finite.
fn special(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    let (zero, inf) = (c(b, 0.0), c(b, f64::INFINITY));
    let (least, nan) = (c(b, f64::NEG_INFINITY), c(b, f64::NAN));
    let finite = b.flt(x, inf);
    let y = b.select(finite, y, x);
    let is_zero = b.feq(x, zero);
    let pole = b.select(is_zero, least, nan);
    let outside = b.fle(x, zero);
    b.select(outside, pole, y)
}

/// The natural logarithm.
pub fn log(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let (k, l) = short(b, x);
            let y = fma_c(b, k, std::f64::consts::LN_2, l);
            special(b, x, y)
        });
    }
    let (k, m) = split(b, x, true);
    let f = add_c(b, m, -1.0);
    let y = sum_ln2(b, k, f, None);
    special(b, x, y)
}

/// `k ln 2 + log(1 + f) + more`.
fn sum_ln2(b: &mut Builder, k: ValueId, f: ValueId, more: Option<ValueId>) -> ValueId {
    let (w, nh) = tail(b, f, &LOG);
    // Exact: the high part of ln 2 has 42 bits.
    let high = mul_c(b, k, LN2[0]);
    let s = fast_two_sum(b, high, f);
    let w = match more {
        Some(more) => b.fadd(w, more),
        None => w,
    };
    let w = b.fma(nh, f, w);
    let w = fma_c(b, k, LN2[1], w);
    let w = b.fadd(w, s.lo);
    b.fadd(s.hi, w)
}

/// `k` and `log m`, to 2^-34, of a `binary32`.
pub(super) fn short(b: &mut Builder, x: ValueId) -> (ValueId, ValueId) {
    let (k, m) = split(b, x, false);
    let f = add_c(b, m, -1.0);
    let (w, nh) = tail(b, f, &LOG_F32);
    let w = b.fma(nh, f, w);
    (k, b.fadd(f, w))
}

/// `k unit + log(1 + f) factor`, for a `unit` and a `factor` of two parts.
fn in_base(b: &mut Builder, x: ValueId, unit: [f64; 2], factor: [f64; 2]) -> ValueId {
    let (k, m) = split(b, x, true);
    let f = add_c(b, m, -1.0);
    let (w, nh) = tail(b, f, &LOG);
    let hi = b.fma(nh, f, f);
    let d = b.fsub(f, hi);
    let lo = b.fma(nh, f, d);
    let lo = b.fadd(lo, w);
    let product = mul_c(b, hi, factor[0]);
    let negative = b.fneg(product);
    let rest = fma_c(b, hi, factor[0], negative);
    let rest = fma_c(b, hi, factor[1], rest);
    let rest = fma_c(b, lo, factor[0], rest);
    let high = if unit[0] == 1.0 { k } else { mul_c(b, k, unit[0]) };
    let s = fast_two_sum(b, high, product);
    let rest = b.fadd(rest, s.lo);
    let rest = if unit[1] == 0.0 { rest } else { fma_c(b, k, unit[1], rest) };
    let y = b.fadd(s.hi, rest);
    special(b, x, y)
}

/// The logarithm to base 2; exact for powers of two.
pub fn log2(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let (k, l) = short(b, x);
            let y = fma_c(b, l, LOG2_E[0], k);
            special(b, x, y)
        });
    }
    in_base(b, x, [1.0, 0.0], [LOG2_E[0], LOG2_E[1]])
}

/// The logarithm to base 10; exact for powers of ten.
pub fn log10(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let (k, l) = short(b, x);
            let y = mul_c(b, l, LOG10_E[0]);
            let y = fma_c(b, k, std::f64::consts::LOG10_2, y);
            special(b, x, y)
        });
    }
    in_base(b, x, [LOG10_2[0], LOG10_2[1]], [LOG10_E[0], LOG10_E[1]])
}

/// `log(1 + x)`.
pub fn log1p(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let u = add_c(b, x, 1.0);
            let (k, l) = short(b, u);
            let y = fma_c(b, k, std::f64::consts::LN_2, l);
            let y = special(b, u, y);
            // 1 + x drops bits of a small x; there the series takes two terms
            let half = mul_c(b, x, -0.5);
            let series = b.fma(half, x, x);
            super::keep_tiny_as(b, x, 2f64.powi(-20), series, y)
        });
    }
    let one = c(b, 1.0);
    let u = two_sum(b, one, x);
    let correction = b.fdiv(u.lo, u.hi);
    let (k, m) = split(b, u.hi, false);
    let f = add_c(b, m, -1.0);
    let y = sum_ln2(b, k, f, Some(correction));
    let y = special(b, u.hi, y);
    b.fcopysign(y, x)
}
