//! `sin`, `cos`, `tan`.
//!
//! `|x| = n pi/2 + r`, `|r| <= pi/4`, with pi/2 in three parts: the first product cancels exactly, so the remainder is a
//! pair that stays good even next to a multiple of pi/2, up to [`LIMIT`]. Beyond, where no data of use lies, lanes call
//! the correctly rounded scalar function ([`Prim::CallIf`](crate::Prim::CallIf)): one test a tile.

use super::coefficients::{COS, COS_F32, PI_2, SIN, SIN_F32};
use super::double::{Pair, div, normalize};
use super::poly::{c, fma_c, from_bits, int, mul_c, poly, round, to_bits, widened};
use crate::{Builder, Routine, Ty, ValueId};
use std::f64::consts::FRAC_2_PI;

/// Up to here the reduction holds.
const LIMIT: f64 = 8388608.0;
/// Up to here that of a `binary32` does.
const LIMIT_F32: f64 = 68719476736.0;
const SIGN: u64 = 1 << 63;

/// `|x|` less `n` times pi/2, and the bits of `n + MAGIC`.
struct Reduced {
    n: ValueId,
    r: Pair,
}

fn reduce(b: &mut Builder, x: ValueId) -> Reduced {
    let (shifted, n) = round(b, x, FRAC_2_PI);
    // Exact: both are multiples of 2^-53, and the difference is below one.
    let t = fma_c(b, n, -PI_2[0], x);
    // t - n PI_2[1] as a two-sum; the product is exact, as the constant has 30 bits
    let hi = fma_c(b, n, -PI_2[1], t);
    let moved = b.fsub(hi, t);
    let t1 = b.fsub(hi, moved);
    let dt = b.fsub(t, t1);
    let moved = b.fneg(moved);
    let dp = fma_c(b, n, -PI_2[1], moved);
    let lo = b.fadd(dt, dp);
    let lo = fma_c(b, n, -PI_2[2], lo);
    Reduced { n: to_bits(b, shifted), r: Pair { hi, lo } }
}

/// [`reduce`] of a `binary32`, to 2^-60 or so.
fn reduce_short(b: &mut Builder, x: ValueId) -> (ValueId, ValueId) {
    let (shifted, n) = round(b, x, FRAC_2_PI);
    let t = fma_c(b, n, -PI_2[0], x);
    (to_bits(b, shifted), fma_c(b, n, -(PI_2[1] + PI_2[2]), t))
}

/// The sine and the cosine of a pair, as pairs.
fn sin_cos(b: &mut Builder, r: Pair) -> (Pair, Pair) {
    let z = b.fmul(r.hi, r.hi);
    // 1 - r^2 / 2 + r^4 p(r^2); what the low part of r does to it is the sine times that
    let one = c(b, 1.0);
    let p = poly(b, z, &COS);
    let half = mul_c(b, r.hi, -0.5);
    let hi = b.fma(half, r.hi, one);
    let d = b.fsub(one, hi);
    let lo = b.fma(half, r.hi, d);
    let cross = b.fneg(r.hi);
    let lo = b.fma(cross, r.lo, lo);
    let z2 = b.fmul(z, z);
    let cos = Pair { hi, lo: b.fma(z2, p, lo) };
    // r + r^3 p(r^2); here it is the cosine
    let p = poly(b, z, &SIN);
    let r3 = b.fmul(r.hi, z);
    let cross = b.fmul(r.lo, hi);
    let sin = Pair { hi: r.hi, lo: b.fma(r3, p, cross) };
    (sin, cos)
}

fn sum(b: &mut Builder, x: Pair) -> ValueId {
    b.fadd(x.hi, x.lo)
}

/// Whether the integer in the low bits is odd.
fn is_odd(b: &mut Builder, n: ValueId) -> ValueId {
    let (one, zero) = (int(b, 1), int(b, 0));
    let bit = b.and(n, one);
    b.ine(bit, zero)
}

/// `y` with its sign flipped where bit 1 of `n` is set, and by the sign bit of `other` if there is one.
fn flip(b: &mut Builder, y: ValueId, n: ValueId, other: Option<ValueId>) -> ValueId {
    let (width, sign) = (int(b, 62), int(b, SIGN));
    let s = b.shl(n, width);
    let s = match other {
        Some(x) => {
            let x = to_bits(b, x);
            b.xor(s, x)
        }
        None => s,
    };
    let s = b.and(s, sign);
    let y = to_bits(b, y);
    let y = b.xor(y, s);
    from_bits(b, y)
}

/// `y`, or the scalar function where `|x|` is huge or infinite.
fn huge(b: &mut Builder, routine: Routine, limit: f64, x: ValueId, y: ValueId) -> ValueId {
    let (limit, magnitude) = (c(b, limit), b.fabs(x));
    let m = b.flt(limit, magnitude);
    b.call_if(routine, m, x, y)
}

/// The sine and the cosine of the remainder, in one double each, of a `binary32`.
fn short(b: &mut Builder, r: ValueId) -> (ValueId, ValueId) {
    let z = b.fmul(r, r);
    let p = poly(b, z, &SIN_F32);
    let r3 = b.fmul(r, z);
    let sin = b.fma(r3, p, r);
    let p = poly(b, z, &COS_F32);
    let (half, one) = (c(b, -0.5), c(b, 1.0));
    let p = b.fma(z, p, half);
    (sin, b.fma(z, p, one))
}

/// The sine.
pub fn sin(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let magnitude = b.fabs(x);
            let (n, r) = reduce_short(b, magnitude);
            let (sin, cos) = short(b, r);
            let odd = is_odd(b, n);
            let y = b.select(odd, cos, sin);
            let y = flip(b, y, n, Some(x));
            huge(b, Routine::Sin, LIMIT_F32, x, y)
        });
    }
    let magnitude = b.fabs(x);
    let Reduced { n, r } = reduce(b, magnitude);
    let (sin, cos) = sin_cos(b, r);
    let (sin, cos) = (sum(b, sin), sum(b, cos));
    let odd = is_odd(b, n);
    let y = b.select(odd, cos, sin);
    let y = flip(b, y, n, Some(x));
    huge(b, Routine::Sin, LIMIT, x, y)
}

/// The cosine.
pub fn cos(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let magnitude = b.fabs(x);
            let (n, r) = reduce_short(b, magnitude);
            let (sin, cos) = short(b, r);
            let y = pick_cos(b, n, sin, cos);
            huge(b, Routine::Cos, LIMIT_F32, x, y)
        });
    }
    let magnitude = b.fabs(x);
    let Reduced { n, r } = reduce(b, magnitude);
    let (sin, cos) = sin_cos(b, r);
    let (sin, cos) = (sum(b, sin), sum(b, cos));
    let y = pick_cos(b, n, sin, cos);
    huge(b, Routine::Cos, LIMIT, x, y)
}

/// The cosine from those of the remainder: negative in the second and third quadrant.
fn pick_cos(b: &mut Builder, n: ValueId, sin: ValueId, cos: ValueId) -> ValueId {
    let odd = is_odd(b, n);
    let y = b.select(odd, sin, cos);
    let one = int(b, 1);
    let quadrant = b.iadd(n, one);
    flip(b, y, quadrant, None)
}

/// The tangent.
pub fn tan(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let magnitude = b.fabs(x);
            let (n, r) = reduce_short(b, magnitude);
            let (sin, cos) = short(b, r);
            let odd = is_odd(b, n);
            let (num, den) = (b.select(odd, cos, sin), b.select(odd, sin, cos));
            let y = b.fdiv(num, den);
            let y = flip_odd(b, y, n, x);
            huge(b, Routine::Tan, LIMIT_F32, x, y)
        });
    }
    let magnitude = b.fabs(x);
    let Reduced { n, r } = reduce(b, magnitude);
    let (sin, cos) = sin_cos(b, r);
    let (sin, cos) = (normalize(b, sin), normalize(b, cos));
    let odd = is_odd(b, n);
    let num = Pair { hi: b.select(odd, cos.hi, sin.hi), lo: b.select(odd, cos.lo, sin.lo) };
    let den = Pair { hi: b.select(odd, sin.hi, cos.hi), lo: b.select(odd, sin.lo, cos.lo) };
    let y = div(b, num, den);
    let y = flip_odd(b, y, n, x);
    huge(b, Routine::Tan, LIMIT, x, y)
}

/// The sign of a tangent: that of `x`, flipped in odd quadrants.
fn flip_odd(b: &mut Builder, y: ValueId, n: ValueId, x: ValueId) -> ValueId {
    let one = int(b, 1);
    let twice = b.shl(n, one);
    flip(b, y, twice, Some(x))
}
