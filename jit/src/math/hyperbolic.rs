//! `sinh`, `cosh`, `tanh`.
//!
//! With `|x| = k ln 2 + r`: `e^|x| = 2^k (cosh r + sinh r)` and `e^-|x| = 2^-k (cosh r - sinh r)`. So
//! `sinh |x| = A cosh r + B sinh r` and `cosh |x| = B cosh r + A sinh r`, where `A` and `B` are half the difference and
//! half the sum of the two powers: no division, and nothing cancels.

use super::coefficients::{COSH, LN2, SINH};
use super::double::{Pair, div, normalize};
use super::exp::{exp_plus_one_half, exp_short, expm1_half, expm1_short};
use super::poly::{MAGIC, add_c, c, fma_c, mul_c, poly, pow2, pow2_inverse, round, widened};
use crate::{Builder, Ty, ValueId};
use std::f64::consts::LOG2_E;

/// The pieces of both functions, halved so that nothing overflows too early.
struct Parts {
    /// Half the difference of the powers, half their sum; `b_lo` is what rounding took.
    a: Pair,
    b: Pair,
    /// `cosh r - 1`.
    c: ValueId,
    /// `r`, and `sinh r - r` with the low part of `r`.
    r: ValueId,
    s: ValueId,
}

fn parts(b: &mut Builder, magnitude: ValueId) -> Parts {
    // Beyond, both overflow.
    let top = c(b, 710.6);
    let x = b.fmin(top, magnitude);
    let (shifted, k) = round(b, x, LOG2_E);
    let hi = fma_c(b, k, -LN2[0], x);
    let lo = mul_c(b, k, -LN2[1]);
    let r = b.fadd(hi, lo);
    let z = b.fmul(r, r);
    let up = pow2(b, shifted, 0.25);
    // The exponent of a power that does not matter any more is held, lest it wrap.
    let limit = c(b, MAGIC + 1000.0);
    let held = b.fmin(limit, shifted);
    let down = pow2_inverse(b, held, 0.25);
    let difference = b.fsub(up, down);
    let d = b.fsub(up, difference);
    let a = Pair { hi: difference, lo: b.fsub(d, down) };
    let sum = b.fadd(up, down);
    let d = b.fsub(up, sum);
    let sum = Pair { hi: sum, lo: b.fadd(d, down) };
    let cosh = poly(b, z, &COSH);
    let sinh = poly(b, z, &SINH);
    let r3 = b.fmul(r, z);
    Parts { a, b: sum, c: b.fmul(z, cosh), r: hi, s: b.fma(r3, sinh, lo) }
}

/// `2 (x (1 + c) + y (r + s))`.
fn combine(b: &mut Builder, p: &Parts, x: Pair, y: ValueId) -> ValueId {
    let hi = b.fma(y, p.r, x.hi);
    let d = b.fsub(x.hi, hi);
    let lo = b.fma(y, p.r, d);
    let lo = b.fadd(lo, x.lo);
    let lo = b.fma(y, p.s, lo);
    let lo = b.fma(x.hi, p.c, lo);
    let half = b.fadd(hi, lo);
    b.fadd(half, half)
}

/// The hyperbolic sine.
pub fn sinh(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let magnitude = b.fabs(x);
            let top = c(b, 150.0);
            let m = b.fmin(top, magnitude);
            let t = expm1_short(b, m);
            let d = add_c(b, t, 1.0);
            let q = b.fdiv(t, d);
            let y = b.fadd(t, q);
            let y = mul_c(b, y, 0.5);
            b.fcopysign(y, x)
        });
    }
    let magnitude = b.fabs(x);
    let p = parts(b, magnitude);
    let y = combine(b, &p, p.a, p.b.hi);
    let y = b.fcopysign(y, x);
    super::keep_tiny(b, x, 2f64.powi(-28), y)
}

/// The hyperbolic cosine.
pub fn cosh(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let magnitude = b.fabs(x);
            let e = exp_short(b, magnitude);
            let half = c(b, 0.5);
            let inverse = b.fdiv(half, e);
            b.fma(e, half, inverse)
        });
    }
    let magnitude = b.fabs(x);
    let p = parts(b, magnitude);
    combine(b, &p, p.b, p.a.hi)
}

/// The hyperbolic tangent: `(e^2x - 1) / (e^2x + 1)`.
pub fn tanh(b: &mut Builder, x: ValueId) -> ValueId {
    let short = b.ty(x) == Ty::F32;
    let f = |b: &mut Builder, x| {
        let magnitude = b.fabs(x);
        let twice = b.fadd(magnitude, magnitude);
        // Beyond, the result is one.
        let top = c(b, 40.0);
        let m = b.fmin(top, twice);
        let y = if short {
            let t = expm1_short(b, m);
            let d = add_c(b, t, 2.0);
            b.fdiv(t, d)
        } else {
            let (minus, parts) = expm1_half(b, m);
            let plus = exp_plus_one_half(b, &parts);
            let (minus, plus) = (normalize(b, minus), normalize(b, plus));
            div(b, minus, plus)
        };
        b.fcopysign(y, x)
    };
    if short {
        return widened(b, x, f);
    }
    let y = f(b, x);
    super::keep_tiny(b, x, 2f64.powi(-28), y)
}
