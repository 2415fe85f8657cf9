//! `sin`, `cos`, `tan`.
//!
//! `x = n pi/2 + r`, `|r| <= pi/4`, with pi/2 in parts so short that the remainder is a pair that stays good even next
//! to a multiple of pi/2, up to [`limit`]. Beyond, where no data of use lies, lanes call the correctly rounded scalar
//! function ([`Prim::CallIf`](crate::Prim::CallIf)): one test a tile.

use super::coefficients::{COS, PI_2, PI_2_F32, PI_2_FAST, PI_2_FAST_F32, SIN};
use super::double::Pair;
use super::exp::multiples;
use super::lanes::{Lane, emit};
use crate::{Builder, Precision, Routine, ValueId};
use std::f64::consts::FRAC_2_PI;

/// The sine.
pub fn sin(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let (n, r) = reduce(x.abs(), !x.is_fast());
        let y = either(r, odd(n), false);
        // Half-turns: bit 1 of n.
        huge(x, Routine::Sin, flip(y, n.shl(x.pick(62, 30)).xor(x.bits())))
    })
}

/// The cosine.
pub fn cos(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let (n, r) = reduce(x.abs(), !x.is_fast());
        let y = either(r, odd(n), true);
        huge(x, Routine::Cos, flip(y, n.plus(1).shl(x.pick(62, 30))))
    })
}

/// The tangent.
pub fn tan(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let (n, r) = reduce(x.abs(), !x.is_fast() || x.is_short());
        let ((sin, cos), odd) = (both(r, !x.is_fast()), odd(n));
        let y = if x.is_fast() {
            let (sin, cos) = (sin.sum(), cos.sum());
            odd.select(cos, sin) / odd.select(sin, cos)
        } else {
            let above = Pair { hi: odd.select(cos.hi, sin.hi), lo: odd.select(cos.lo, sin.lo) };
            let below = Pair { hi: odd.select(sin.hi, cos.hi), lo: odd.select(sin.lo, cos.lo) };
            // A low part of a tenth would leave a remainder that is itself rounded too far up for 24 bits.
            if x.is_short() { above.normalize().over(below.normalize()) } else { above.over(below) }
        };
        huge(x, Routine::Tan, flip(y, n.shl(x.pick(63, 31)).xor(x.bits())))
    })
}

/// Up to here the reduction holds.
fn limit(x: Lane<'_>) -> f64 {
    x.pick(8388608.0, 131072.0)
}

/// The bits of `n` with the magic number added, and `x - n pi/2`, for positive `x`; its low part is zero unless `low`.
fn reduce(x: Lane<'_>, low: bool) -> (Lane<'_>, Pair<'_>) {
    let (shifted, n) = multiples(x, FRAC_2_PI);
    if !low {
        let pi = x.pick(PI_2_FAST, PI_2_FAST_F32);
        let hi = pi.iter().fold(x, |r, &part| n.fma(-part, r));
        return (shifted.bits(), Pair { hi, lo: x.constant(0.0) });
    }
    let pi = x.pick(&PI_2[..], &PI_2_F32[..]);
    // Exact: both are multiples of the last place of pi/2, and the difference is below one.
    let t = n.fma(-pi[0], x);
    let hi = n.fma(-pi[1], t);
    // Exact: the second part has so few bits that its product with n is a float, and so is what was subtracted.
    let lo = n.fma(-pi[1], t - hi);
    let mut r = Pair { hi, lo: n.fma(-pi[2], lo) };
    if let Some(&last) = pi.get(3) {
        // Next to a multiple of pi/2 both parts are short, and cancel without an error: before anything is rounded.
        r = r.normalize();
        r.lo = n.fma(-last, r.lo);
    }
    (shifted.bits(), r)
}

/// The sine of the remainder where `odd` does not hold, and its cosine where it does; or the other way round, if it is `turned`.
/// Both are one formula, in which each number is chosen: with one polynomial, not two, there is less to do for the units that
/// multiply, and as much for all.
fn either<'a>(r: Pair<'a>, odd: Lane<'a>, turned: bool) -> Lane<'a> {
    let choose = |sin: Lane<'a>, cos: Lane<'a>| if turned { odd.select(sin, cos) } else { odd.select(cos, sin) };
    if r.hi.is_fast() {
        let (sin, cos) = both(r, true);
        return choose(sin.sum(), cos.sum());
    }
    let z = r.hi * r.hi;
    let cos = one_less(r);
    let p = if turned { z.poly_of(odd, &SIN, &COS) } else { z.poly_of(odd, &COS, &SIN) };
    // What the low part adds to the sine is the cosine times it.
    let behind = choose(r.lo * cos.hi, cos.lo);
    choose(r.hi, cos.hi) + (z * choose(r.hi, z)).fma(p, behind)
}

/// `1 - r^2/2`, and what is missing to the cosine but for `r^4` times the polynomial.
fn one_less(r: Pair<'_>) -> Pair<'_> {
    let half = r.hi * -0.5;
    let hi = half.fma(r.hi, 1.0);
    let lo = half.fma(r.hi, 1.0 - hi);
    // What the low part subtracts is the sine times it.
    Pair { hi, lo: (-r.hi).fma(r.lo, lo) }
}

/// The sine and the cosine of the remainder; the sine with another instruction in 24 bits if it has to be `close`, as where
/// the remainder itself is rounded, or both are divided.
fn both(r: Pair<'_>, close: bool) -> (Pair<'_>, Pair<'_>) {
    let cos = cosine(r);
    let z = r.hi * r.hi;
    // What the low part adds is the cosine times it.
    let lo = if r.hi.is_fast() { r.lo } else { r.lo * cos.hi };
    let cube = r.hi * z;
    let lo = if close && r.hi.is_short() { z.poly_times(&SIN, cube, Some(lo)) } else { cube.fma(z.poly(&SIN), lo) };
    (Pair { hi: r.hi, lo }, cos)
}

/// The cosine of the remainder.
fn cosine(r: Pair<'_>) -> Pair<'_> {
    let z = r.hi * r.hi;
    let p = z.poly(&COS);
    if r.hi.is_fast() {
        return Pair { hi: r.hi.constant(1.0), lo: z * z.fma(p, -0.5) };
    }
    let Pair { hi, lo } = one_less(r);
    Pair { hi, lo: (z * z).fma(p, lo) }
}

/// Whether the integer in the low bits is odd.
fn odd(n: Lane<'_>) -> Lane<'_> {
    n.shl(n.pick(63, 31)).is_negative()
}

/// `y` with its sign flipped where the highest bit of `bits` is set.
fn flip<'a>(y: Lane<'a>, bits: Lane<'a>) -> Lane<'a> {
    y.flip(bits.masked(y.format().sign))
}

/// `y`, or the scalar function where `|x|` is huge or infinite.
fn huge<'a>(x: Lane<'a>, routine: Routine, y: Lane<'a>) -> Lane<'a> {
    x.abs().gt(limit(x)).call(routine, x, y)
}
