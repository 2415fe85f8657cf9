//! `exp`, `exp2`, `expm1`.
//!
//! `x = k ln 2 + r` with `|r| <= ln(2) / 2`; `e^x = 2^k e^r`, and `e^r = 1 + r + r^2 p(r)`. The sum `1 + r` is kept
//! with its rounding error, so what remains is the last rounding and a few hundredths of a unit.

use super::coefficients::{EXP, EXP_F32, EXP2, EXP2_F32, EXPM1, EXPM1_F32, LN2};
use super::double::Pair;
use super::poly::{add_c, c, clamp, fma_c, mul_c, poly, pow2, round, scale, widened};
use crate::{Builder, Ty, ValueId};
use std::f64::consts::LOG2_E;

/// `e^x`.
pub fn exp(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, exp_short);
    }
    let x = clamp(b, x, -800.0, 800.0);
    exp_of(b, x, None)
}

/// What `x` is reduced to: `x + lo = k ln 2 + hi + rest`.
struct Reduced {
    /// `k + MAGIC`.
    shifted: ValueId,
    k: ValueId,
    /// Exactly `x - k` times the high part of ln 2.
    hi: ValueId,
    rest: ValueId,
    /// `hi + rest`.
    r: ValueId,
}

fn reduce(b: &mut Builder, x: ValueId, lo: Option<ValueId>) -> Reduced {
    let (shifted, k) = round(b, x, LOG2_E);
    // Exact: the high part of ln 2 has 42 bits.
    let hi = fma_c(b, k, -LN2[0], x);
    let rest = match lo {
        Some(lo) => fma_c(b, k, -LN2[1], lo),
        None => mul_c(b, k, -LN2[1]),
    };
    Reduced { shifted, k, hi, rest, r: b.fadd(hi, rest) }
}

/// `e^(x + lo)` for `|x| <= 800` or NaN and a small `lo`.
pub(super) fn exp_of(b: &mut Builder, x: ValueId, lo: Option<ValueId>) -> ValueId {
    let r = reduce(b, x, lo);
    let one = c(b, 1.0);
    let s = b.fadd(one, r.hi);
    let d = b.fsub(one, s);
    let e = b.fadd(d, r.hi);
    let p = poly(b, r.r, &EXP);
    let r2 = b.fmul(r.r, r.r);
    let e = b.fadd(e, r.rest);
    let low = b.fma(r2, p, e);
    let y = b.fadd(s, low);
    scale(b, y, r.shifted, r.k)
}

/// `e^x` to 2^-32, of a `binary32`.
pub(super) fn exp_short(b: &mut Builder, x: ValueId) -> ValueId {
    let x = clamp(b, x, -200.0, 200.0);
    let (shifted, k) = round(b, x, LOG2_E);
    let r = fma_c(b, k, -std::f64::consts::LN_2, x);
    let p = poly(b, r, &EXP_F32);
    let r2 = b.fmul(r, r);
    let y = b.fma(r2, p, r);
    let scale = pow2(b, shifted, 1.0);
    b.fma(y, scale, scale)
}

/// `2^x`.
pub fn exp2(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let x = clamp(b, x, -200.0, 200.0);
            let (shifted, k) = round(b, x, 1.0);
            let r = b.fsub(x, k);
            let p = poly(b, r, &EXP2_F32);
            let p = {
                let ln2 = c(b, std::f64::consts::LN_2);
                b.fma(r, p, ln2)
            };
            let y = b.fmul(r, p);
            let scale = pow2(b, shifted, 1.0);
            b.fma(y, scale, scale)
        });
    }
    let x = clamp(b, x, -1100.0, 1100.0);
    let (shifted, k) = round(b, x, 1.0);
    let r = b.fsub(x, k);
    let one = c(b, 1.0);
    let ln2 = [std::f64::consts::LN_2, LN2_LOW];
    let s = fma_c(b, r, ln2[0], one);
    let d = b.fsub(one, s);
    let e = fma_c(b, r, ln2[0], d);
    let e = fma_c(b, r, ln2[1], e);
    let p = poly(b, r, &EXP2);
    let r2 = b.fmul(r, r);
    let low = b.fma(r2, p, e);
    let y = b.fadd(s, low);
    scale(b, y, shifted, k)
}

/// ln 2 less its double.
const LN2_LOW: f64 = 2.3190468138462996e-17;

/// `e^x - 1` for `|x| <= 709`, halved, and the same plus one (half of `e^x + 1`): as pairs that are not normalized.
pub(super) fn expm1_half(b: &mut Builder, x: ValueId) -> (Pair, ExpPlus) {
    let r = reduce(b, x, None);
    // The leading term is kept out of the polynomial, for where 2^k - 1 and the rest cancel.
    let p = poly(b, r.r, &EXPM1[1..]);
    let r2 = b.fmul(r.r, r.r);
    let r3 = b.fmul(r2, r.r);
    let low = b.fma(r3, p, r.rest);
    let half = mul_c(b, r.r, EXPM1[0]);
    let low = b.fma(half, r.r, low);
    // e^x - 1 = (2^k - 1) + 2^k (hi + low); halved, so that k = 1024 does not overflow.
    let power = pow2(b, r.shifted, 0.5);
    let base = add_c(b, power, -0.5);
    let base_lo = {
        let d = b.fsub(power, base);
        add_c(b, d, -0.5)
    };
    let product = b.fmul(power, r.hi);
    let hi = b.fadd(base, product);
    let d = b.fsub(hi, base);
    let d = b.fsub(product, d);
    let d = b.fadd(d, base_lo);
    let lo = b.fma(power, low, d);
    (Pair { hi, lo }, ExpPlus { power, product, low })
}

/// What `e^x + 1` is made of: `2^k / 2`, that times the high part of `r`, and the low part of `e^r`.
pub(super) struct ExpPlus {
    power: ValueId,
    product: ValueId,
    low: ValueId,
}

/// Half of `e^x + 1`, as a pair that is not normalized.
pub(super) fn exp_plus_one_half(b: &mut Builder, parts: &ExpPlus) -> Pair {
    let base = add_c(b, parts.power, 0.5);
    let d = b.fsub(parts.power, base);
    let base_lo = add_c(b, d, 0.5);
    let hi = b.fadd(base, parts.product);
    let d = b.fsub(hi, base);
    let d = b.fsub(parts.product, d);
    let d = b.fadd(d, base_lo);
    Pair { hi, lo: b.fma(parts.power, parts.low, d) }
}

/// `e^x - 1`.
pub fn expm1(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let y = clamp(b, x, -50.0, 200.0);
            let y = expm1_short(b, y);
            b.fcopysign(y, x)
        });
    }
    let held = clamp(b, x, -50.0, 710.0);
    let (half, _) = expm1_half(b, held);
    let y = b.fadd(half.hi, half.lo);
    let y = b.fadd(y, y);
    super::keep_tiny(b, x, 2f64.powi(-54), y)
}

/// `e^x - 1` to 2^-31, for `|x| <= 200`. Zero comes out positive.
pub(super) fn expm1_short(b: &mut Builder, x: ValueId) -> ValueId {
    let (shifted, k) = round(b, x, LOG2_E);
    let r = fma_c(b, k, -std::f64::consts::LN_2, x);
    let p = poly(b, r, &EXPM1_F32);
    let r2 = b.fmul(r, r);
    let y = b.fma(r2, p, r);
    let power = pow2(b, shifted, 1.0);
    let base = add_c(b, power, -1.0);
    b.fma(power, y, base)
}
