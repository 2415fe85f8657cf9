//! `hypot` and `cbrt`.

use super::double::{fast_two_sum, two_prod};
use super::poly::{add_c, c, from_bits, int, mul_c, poly, to_bits, widened, widened2};
use crate::{Builder, Ty, ValueId};

/// `sqrt(x^2 + y^2)` without undue overflow or underflow. Infinite if either argument is, even if the other is NaN.
///
/// The squares and their sum are exact pairs; one step of Newton's method adds what the rounded root lacks.
pub fn hypot(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened2(b, x, y, |b, x, y| {
            // The square of a binary32 is exact, and far from the ends of the range.
            let x2 = b.fmul(x, x);
            let s = b.fma(y, y, x2);
            let r = b.fsqrt(s);
            let (x, y) = (b.fabs(x), b.fabs(y));
            infinite(b, x, y, r)
        });
    }
    let (x, y) = (b.fabs(x), b.fabs(y));
    // If either is NaN, these orders make one of the two NaN.
    let (large, small) = (b.fmax(x, y), b.fmin(y, x));
    // Scaled by a power of two, so that the squares and their rounding errors are normal numbers.
    let (high, low) = (c(b, 2f64.powi(500)), c(b, 2f64.powi(-400)));
    let (is_high, is_low) = (b.flt(high, large), b.flt(large, low));
    let (down, up, one) = (c(b, 2f64.powi(-600)), c(b, 2f64.powi(600)), c(b, 1.0));
    let pick = |b: &mut Builder, high, low| {
        let s = b.select(is_low, low, one);
        b.select(is_high, high, s)
    };
    let factor = pick(b, down, up);
    let back = pick(b, up, down);
    let (p, q) = (b.fmul(large, factor), b.fmul(small, factor));
    let (p2, q2) = (two_prod(b, p, p), two_prod(b, q, q));
    let s = fast_two_sum(b, p2.hi, q2.hi);
    let lo = b.fadd(p2.lo, q2.lo);
    let lo = b.fadd(s.lo, lo);
    let h = b.fsqrt(s.hi);
    let neg = b.fneg(h);
    let rest = b.fma(neg, h, s.hi);
    let rest = b.fadd(rest, lo);
    let twice = b.fadd(h, h);
    // 0 / 0 must not be.
    let least = c(b, f64::MIN_POSITIVE);
    let twice = b.fmax(twice, least);
    let step = b.fdiv(rest, twice);
    let h = b.fadd(h, step);
    let r = b.fmul(h, back);
    infinite(b, x, y, r)
}

/// Infinity where one of the magnitudes is, else `r`.
fn infinite(b: &mut Builder, x: ValueId, y: ValueId, r: ValueId) -> ValueId {
    let inf = c(b, f64::INFINITY);
    let (xi, yi) = (b.feq(x, inf), b.feq(y, inf));
    let any = b.mor(xi, yi);
    b.select(any, inf, r)
}

/// The cube root: `x z^2`, where `z = x^(-1/3)` comes from a third of the exponent, and two steps of
/// `z (1 + h/3 + 2 h^2/9 + ...)`, `h = 1 - x z^3`, the binomial series of `(1 - h)^(-1/3)`. No division.
pub fn cbrt(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let magnitude = b.fabs(x);
            let z = inverse_root(b, magnitude, 1);
            let z2 = b.fmul(z, z);
            let y = b.fmul(magnitude, z2);
            root_edges(b, x, magnitude, y)
        });
    }
    let magnitude = b.fabs(x);
    // Scaled away from where the residual below would be subnormal.
    let bound = c(b, 2f64.powi(-700));
    let small = b.flt(magnitude, bound);
    let scaled = mul_c(b, magnitude, 2f64.powi(300));
    let m = b.select(small, scaled, magnitude);
    let z = inverse_root(b, m, 2);
    let z2 = b.fmul(z, z);
    let y = b.fmul(m, z2);
    // One step of Newton's method: the residual m - y^3 to twice the precision, times z^2 / 3 = 1 / (3 y^2).
    let y2 = two_prod(b, y, y);
    let neg = b.fneg(y2.hi);
    let rest = b.fma(neg, y, m);
    let neg = b.fneg(y2.lo);
    let rest = b.fma(neg, y, rest);
    let third = mul_c(b, z2, 1.0 / 3.0);
    let y = b.fma(rest, third, y);
    let back = mul_c(b, y, 2f64.powi(-100));
    let y = b.select(small, back, y);
    root_edges(b, x, magnitude, y)
}

/// `m^(-1/3)` for normal positive `m`: to 2^-37 with one term in the second step, to 2^-56 with two.
fn inverse_root(b: &mut Builder, m: ValueId, terms: usize) -> ValueId {
    // A double's bits, as a number, are nearly its logarithm; what is done with it is done in the high word, which a
    // double can hold.
    let bits = to_bits(b, m);
    let half = int(b, 32);
    let word = b.shr_u(bits, half);
    let under = int(b, 0x4330_0000_0000_0000);
    let word = b.or(word, under);
    let word = from_bits(b, word);
    let two52 = 2f64.powi(52);
    let word = add_c(b, word, -two52);
    let start = c(b, two52 + INVERSE_ROOT);
    let third = c(b, -1.0 / 3.0);
    let word = b.fma(word, third, start);
    let word = to_bits(b, word);
    let z = b.shl(word, half);
    let z = from_bits(b, z);
    let z = root_step(b, m, z, &[1.0 / 3.0, 2.0 / 9.0, 14.0 / 81.0, 35.0 / 243.0]);
    root_step(b, m, z, &[1.0 / 3.0, 2.0 / 9.0][..terms])
}

/// The high word of the first guess for 1: makes the largest `|1 - m z^3|` least.
const INVERSE_ROOT: f64 = 1430186164.0;

fn root_step(b: &mut Builder, m: ValueId, z: ValueId, series: &[f64]) -> ValueId {
    let z2 = b.fmul(z, z);
    let w = b.fmul(m, z2);
    let (neg, one) = (b.fneg(w), c(b, 1.0));
    let h = b.fma(neg, z, one);
    let p = poly(b, h, series);
    let zh = b.fmul(z, h);
    b.fma(zh, p, z)
}

/// Zeros, infinities and NaN are their own roots; others take the sign of `x`.
fn root_edges(b: &mut Builder, x: ValueId, magnitude: ValueId, y: ValueId) -> ValueId {
    let y = b.fcopysign(y, x);
    let (zero, inf) = (c(b, 0.0), c(b, f64::INFINITY));
    let (positive, finite) = (b.flt(zero, magnitude), b.flt(magnitude, inf));
    let ordinary = b.mand(positive, finite);
    b.select(ordinary, y, x)
}
