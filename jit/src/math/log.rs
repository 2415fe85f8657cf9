//! `log`, `log2`, `log10`, `log1p`.
//!
//! `x = 2^k m` with `m` in [sqrt(1/2), sqrt 2), `f = m - 1`. In `F64`, with `s = f / (2 + f)`,
//! `log m = 2 atanh s = f - f^2/2 + s (f^2/2 + R(s^2))`, where `f` is exact and only the rest carries errors. In `F32` a
//! polynomial takes fewer instructions than the quotient: `log m = f + f^2 (-1/2 + f P(f))`.

use super::coefficients::{LN2, LN2_SHORT, LN2_SHORT_F32, LOG, LOG2_E, LOG2_E_F32, LOG10_2, LOG10_2_F32};
use super::coefficients::{LOG_F, LOG10_E, LOG10_E_F32};
use super::double::{Pair, fast_two_sum, two_sum};
use super::lanes::{Lane, emit};
use crate::{Builder, Precision, ValueId};
use std::f64::consts::FRAC_1_SQRT_2;

/// The natural logarithm.
pub fn log(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let (k, m) = parts(x);
        let f = m - 1.0;
        // Both positive: the sum of their products with an infinite exponent is no NaN.
        let ln2 = x.pick(LN2, LN2_SHORT_F32);
        let w = if x.is_short() && x.is_fast() {
            (f * f).fma(f.fma(f.poly(&LOG_F), -0.5), k * ln2[1])
        } else {
            let (tail, lost) = tail_and_lost(f);
            lost.map_or_else(|| k.fma(ln2[1], tail), |lost| tail + lost.fma(-0.5, k * ln2[1]))
        };
        finish(x, k.fma(ln2[0], f + w))
    })
}

/// The logarithm to base 2; exact for powers of two.
pub fn log2(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let (k, m) = parts(x);
        let l = times(m - 1.0, x.pick(LOG2_E, LOG2_E_F32));
        finish(x, l + k)
    })
}

/// The logarithm to base 10; exact for powers of ten.
pub fn log10(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let (k, m) = parts(x);
        let l = times(m - 1.0, x.pick(LOG10_E, LOG10_E_F32));
        let unit = x.pick(LOG10_2, LOG10_2_F32);
        finish(x, k.fma(unit[0], k.fma(unit[1], l)))
    })
}

/// `log(1 + x)`.
pub fn log1p(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let u = two_sum(x.constant(1.0), x);
        special(u.hi, of_pair(u, None)).copysign(x)
    })
}

/// `log(u.hi + u.lo) + more ln 2`, for a normalized pair that is positive, finite and not subnormal.
pub(super) fn of_pair<'a>(u: Pair<'a>, more: Option<Lane<'a>>) -> Lane<'a> {
    let (k, m) = split(u.hi, false);
    let k = more.map_or(k, |more| k + more);
    let f = m - 1.0;
    let ln2 = f.pick(LN2_SHORT, LN2_SHORT_F32);
    // In 24 bits a rounded square would weigh too much beside the errors of the pair.
    let tail = if f.is_short() { (f * -0.5).fma(f, f * f * (f * f.poly(&LOG_F))) } else { tail(f) };
    // The product is exact.
    let s = fast_two_sum(k * ln2[0], f);
    s.hi + (k.fma(ln2[1], tail + u.lo / u.hi) + s.lo)
}

/// `x = 2^k m`; `(k, m)`. In `Fast`, of what is no positive normal number they are finite nonsense, else `k` is what the
/// logarithm is.
fn parts(x: Lane<'_>) -> (Lane<'_>, Lane<'_>) {
    if x.is_fast() { split(x, false) } else { x.split() }
}

/// The logarithm `y` that was made of [`parts`].
fn finish<'a>(x: Lane<'a>, y: Lane<'a>) -> Lane<'a> {
    if x.is_fast() { special(x, y) } else { y }
}

/// `x = 2^k m`, `m` in [sqrt(1/2), sqrt 2), for positive finite `x`; `(k, m)`. Others give finite nonsense.
pub(super) fn split(x: Lane<'_>, subnormals: bool) -> (Lane<'_>, Lane<'_>) {
    let format = x.format();
    // An exponent read as an integer, put under the exponent of 2^fraction, is that integer plus 2^fraction.
    let two = 2f64.powi(format.fraction as i32);
    let bias = two + format.bias as f64;
    let (x, bias) = if subnormals {
        let up = format.fraction + 2;
        let small = x.lt(format.least);
        (small.select(x * 2f64.powi(up as i32), x), small.choose(x, bias + up as f64, bias))
    } else {
        (x, x.constant(bias))
    };
    let lowest = x.pick(FRAC_1_SQRT_2.to_bits(), (FRAC_1_SQRT_2 as f32).to_bits() as u64);
    let t = x.bits().plus(format.one - lowest);
    let k = t.shr(format.fraction).with(super::exp::bits(x, two)).float() - bias;
    let m = t.masked((1 << format.fraction) - 1).plus(lowest).float();
    (k, m)
}

/// `log(1 + f) - f` in `F64`.
fn tail(f: Lane<'_>) -> Lane<'_> {
    let minus_s = f / (-2.0 - f);
    let z = minus_s * minus_s;
    let nh = f * -0.5;
    // s (f^2/2 + R), with both signs flipped
    let w = minus_s * z.fma(z.poly(&LOG), nh * f);
    nh.fma(f, w)
}

/// `log(1 + f)` times a constant of two parts.
fn times(f: Lane<'_>, factor: [f64; 2]) -> Lane<'_> {
    let rest = f * factor[1];
    if f.is_short() && f.is_fast() {
        let behind = (f * f * factor[0]).fma(f * f.poly(&LOG_F), rest);
        return f.fma(factor[0], (f * (-0.5 * factor[0])).fma(f, behind));
    }
    let (tail, lost) = tail_and_lost(f);
    let rest = lost.map_or(rest, |lost| lost.fma(-0.5 * factor[0], rest));
    f.fma(factor[0], tail.fma(factor[0], rest))
}

/// `log(1 + f) - f`, and where it weighs what rounding `f^2` lost: in 24 bits, near sqrt 2, a fifth of the result's last
/// place.
fn tail_and_lost(f: Lane<'_>) -> (Lane<'_>, Option<Lane<'_>>) {
    if !f.is_short() {
        return (tail(f), None);
    }
    let square = f * f;
    ((f * square).fma(f.poly(&LOG_F), square * -0.5), Some(f.fma(f, -square)))
}

/// What a logarithm is where its argument is not positive and finite.
fn special<'a>(x: Lane<'a>, y: Lane<'a>) -> Lane<'a> {
    let y = x.lt(f64::INFINITY).select(y, x);
    if x.is_fast() {
        // Subnormal numbers are zero here.
        let pole = x.lt(0.0).choose(x, f64::NAN, f64::NEG_INFINITY);
        return x.lt(x.format().least).select(pole, y);
    }
    let pole = x.eq(0.0).choose(x, f64::NEG_INFINITY, f64::NAN);
    x.le(0.0).select(pole, y)
}
