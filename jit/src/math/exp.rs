//! `exp`, `exp2`, `expm1`.
//!
//! `x = k ln 2 + r` with `|r| <= ln(2) / 2`; `e^x = 2^k e^r`, and `e^r = 1 + (r + r^2 p(r))`. Rounding the sum in brackets
//! costs at most a quarter of a unit of the result. Results that are subnormal, zero or infinite take no instruction of
//! their own: see [`Prim::FRaise`](crate::Prim::FRaise).

use super::coefficients::{EXP, EXP2, EXPM1, LN2, LN2_F32, LN2_SHORT, LN2_SHORT_F32};
use super::double::Pair;
use super::lanes::{Lane, emit};
use crate::{Builder, Precision, ValueId};
use std::f64::consts::LOG2_E;

/// `e^x`.
pub fn exp(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| exp_of(x))
}

/// `2^x`; exact for integers.
pub fn exp2(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let held = hold(x, x.pick((-1080.0, 1024.4), (-155.0, 128.4)));
        let magic = x.format().magic;
        let shifted = held + magic;
        let k = shifted - magic;
        finish(x, power_minus_one(held - k), k, shifted, lowest_power(x))
    })
}

/// `e^x - 1`.
pub fn expm1(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let held = x.clamp(x.pick(-50.0, -25.0), x.pick(710.0, 88.9));
        let r = Reduced::of(held);
        // e^x - 1 = (2^k - 1) + 2^k (e^r - 1); halved, so that the largest power does not overflow.
        let power = power(r.shifted, 0.5);
        let base = power - 0.5;
        let y = r.times(power, Pair { hi: base, lo: (power - base) - 0.5 }).sum();
        // The general case loses the sign of zero and the last bit of a subnormal.
        x.abs().lt(x.pick(2f64.powi(-54), 2f64.powi(-25))).select(x, y + y)
    })
}

/// `e^x`, of lanes.
pub(super) fn exp_of(x: Lane<'_>) -> Lane<'_> {
    let held = hold(x, x.pick((-746.0, 710.0), (-104.0, 89.0)));
    let (shifted, k) = multiples(held, LOG2_E);
    let ln2 = ln2(x);
    let hi = k.fma(-ln2[0], held);
    let q = if x.is_fast() {
        let r = k.fma(-ln2[1], hi);
        (r * r).fma(r.poly(&EXP), r)
    } else {
        let rest = k * -ln2[1];
        let r = hi + rest;
        hi + (r * r).fma(r.poly(&EXP), rest)
    };
    finish(x, q, k, shifted, lowest_exponent(x))
}

/// An argument held where the result is zero or infinite; in `Fast` only at the upper end.
fn hold(x: Lane<'_>, (low, high): (f64, f64)) -> Lane<'_> {
    if x.is_fast() { x.at_most(high) } else { x.clamp(low, high) }
}

/// ln 2 as a sum; the product of the first part with an exponent, subtracted from an argument near it, is exact.
fn ln2(x: Lane<'_>) -> [f64; 2] {
    x.pick(LN2_SHORT, LN2_SHORT_F32)
}

/// The integer nearest to `x scale`: with the magic number added, and itself.
pub(super) fn multiples(x: Lane<'_>, scale: f64) -> (Lane<'_>, Lane<'_>) {
    let magic = x.format().magic;
    let shifted = x.fma(scale, magic);
    (shifted, shifted - magic)
}

/// `x 2^k` for a power of two `x`, of `k` with the magic number added; the result must be a normal number.
pub(super) fn power(shifted: Lane<'_>, x: f64) -> Lane<'_> {
    shifted.bits().shl(shifted.format().fraction).plus(bits(shifted, x)).float()
}

/// `x / 2^k`: see [`power`].
pub(super) fn inverse_power(shifted: Lane<'_>, x: f64) -> Lane<'_> {
    shifted.bits().shl(shifted.format().fraction).isub_from(bits(shifted, x)).float()
}

/// The bits of a number that `F32` holds too.
pub(super) fn bits(like: Lane<'_>, x: f64) -> u64 {
    like.pick(x.to_bits(), (x as f32).to_bits() as u64)
}

/// `2^r - 1` for `|r| <= 1/2`.
fn power_minus_one(r: Lane<'_>) -> Lane<'_> {
    let p = r.poly(&EXP2);
    let ln2 = r.pick(LN2, LN2_F32);
    if r.is_fast() { r * p.fma(r, ln2[0]) } else { r.fma(ln2[0], r * p.fma(r, ln2[1])) }
}

/// The lowest `x` whose `2^x` is twice the smallest normal number: half of that is still computed with all bits.
pub(super) fn lowest_power(x: Lane<'_>) -> f64 {
    x.pick(-1021.0, -125.0)
}

/// The lowest `x` whose `e^x` is that.
pub(super) fn lowest_exponent(x: Lane<'_>) -> f64 {
    x.pick(-707.7032713517041, -86.643_394_470_214_84)
}

/// `(1 + q) 2^k`; in `Fast`, zero where `x` is below `lowest`.
pub(super) fn finish<'a>(x: Lane<'a>, q: Lane<'a>, k: Lane<'a>, shifted: Lane<'a>, lowest: f64) -> Lane<'a> {
    if x.is_fast() {
        let half = power(shifted, 0.5);
        let y = q.fma(half, half);
        return x.lt(lowest).select(x.constant(0.0), y + y);
    }
    q.raise(k)
}

/// `y 2^k` for any `k` that matters, given with the magic number added.
pub(super) fn scale<'a>(y: Lane<'a>, shifted: Lane<'a>) -> Lane<'a> {
    let [half, rest] = halves(shifted);
    y * half * rest
}

/// Two powers of two whose product is `2^k`. `k` has the magic number added, so its bits are the lowest of that.
pub(super) fn halves(shifted: Lane<'_>) -> [Lane<'_>; 2] {
    let (format, k) = (shifted.format(), shifted.bits());
    let half = k.shr(1);
    [half, k.isub(half)].map(|e| e.shl(format.fraction).plus(format.one).float())
}

/// What an argument of `e^x` is reduced to: `x = k ln 2 + hi + rest`.
pub(super) struct Reduced<'a> {
    /// `k`, and the same with the magic number added.
    pub(super) k: Lane<'a>,
    pub(super) shifted: Lane<'a>,
    /// Exactly `x - k` times the first part of ln 2.
    pub(super) hi: Lane<'a>,
    rest: Lane<'a>,
}

impl<'a> Reduced<'a> {
    pub(super) fn of(x: Lane<'a>) -> Reduced<'a> {
        let (shifted, k) = multiples(x, LOG2_E);
        let ln2 = ln2(x);
        Reduced { k, shifted, hi: k.fma(-ln2[0], x), rest: k * -ln2[1] }
    }

    /// Of `x + lo`.
    pub(super) fn of_pair(x: Lane<'a>, lo: Lane<'a>) -> Reduced<'a> {
        let (shifted, k) = multiples(x, LOG2_E);
        let ln2 = ln2(x);
        Reduced { k, shifted, hi: k.fma(-ln2[0], x), rest: k.fma(-ln2[1], lo) }
    }

    /// `e^r - 1 - hi`.
    pub(super) fn tail(&self) -> Lane<'a> {
        let r = self.hi + self.rest;
        if r.is_short() {
            // In 24 bits, what rounding the square and its factor take is a fifth of the result's last place.
            let behind = (r * r).fma(r * r.poly_behind_first(&EXPM1), self.rest);
            return (r * r.first(&EXPM1)).fma(r, behind);
        }
        (r * r).fma(r.poly(&EXPM1), self.rest)
    }

    /// `base + power (e^r - 1)` for a `base` whose high part is at least `power hi`, or is zero.
    pub(super) fn times(&self, power: Lane<'a>, base: Pair<'a>) -> Pair<'a> {
        let hi = power.fma(self.hi, base.hi);
        // Exact: what the rounding took.
        let lo = power.fma(self.hi, base.hi - hi);
        Pair { hi, lo: lo + power.fma(self.tail(), base.lo) }
    }
}
