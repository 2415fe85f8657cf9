//! `pow`.
//!
//! `x^y = 2^(y log2 x)`, where the logarithm is a pair that is good to about 2^-66 (2^-35 in `F32`): of the product's at
//! most 1074 (149), an error of 2^-56 (2^-28) remains, so that the result is off by little more than its rounding.

use super::coefficients::{EXP2, LN2, LN2_F32, POW, POW_1, POW_1_F32, POW_3, POW_3_F32};
use super::double::{Pair, fast_two_sum, two_prod};
use super::exp::{finish, lowest_power};
use super::lanes::{Lane, emit};
use super::log::split;
use crate::{Builder, Precision, ValueId};

/// `x^y`, with every special case of C99: `pow(x, 0)` and `pow(1, y)` are 1 even for NaN.
pub fn pow(b: &mut Builder, x: ValueId, y: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x, y], |[x, y]| {
        // Held where the result is 0, 1 or infinite in any case, so that infinity times the logarithm of 1 is 0.
        let held = y.clamp(-1e30, 1e30);
        let exponent = Exponent::of(held);
        let magnitude = x.abs();
        let log = log2(magnitude);
        let product = two_prod(held, log.hi);
        let lo = held.fma(log.lo, product.lo);
        // NaN for negative bases that have no power, then bases of zero, infinity and NaN.
        let sum = product.hi + lo;
        let sum = x.lt(exponent.whole.choose(x, f64::NEG_INFINITY, 0.0)).select(x.constant(f64::NAN), sum);
        let sum = x.eq(0.0).select(held * f64::NEG_INFINITY, sum);
        let sum = magnitude.lt(f64::INFINITY).select(sum, held * magnitude);
        let r = power(sum, product.hi, lo).flip(exponent.odd.choose(x, -0.0, 0.0).bits().and(x.bits()));
        (x.eq(1.0) | y.eq(0.0)).select(x.constant(1.0), r)
    })
}

/// What matters of an exponent for negative bases.
struct Exponent<'a> {
    odd: Lane<'a>,
    whole: Lane<'a>,
}

impl<'a> Exponent<'a> {
    fn of(y: Lane<'a>) -> Exponent<'a> {
        // What lacks to an even number: 0 if even, 1 if odd, between if no integer.
        let rest = (y * 0.5).round().fma(-2.0, y).abs();
        let odd = rest.eq(1.0);
        Exponent { odd, whole: odd | rest.eq(0.0) }
    }
}

/// `log2 x` for positive finite `x`, as a pair that is not normalized.
fn log2(x: Lane<'_>) -> Pair<'_> {
    let (k, m) = split(x, true);
    // s = f / (2 + f) as a pair: f is exact, and so is what the rounding of 2 + f took.
    let f = m - 1.0;
    let d = m + 1.0;
    let d_lo = m - (d - 1.0);
    let inverse = 1.0 / d;
    let s = f * inverse;
    let s_lo = (-s).fma(d_lo, (-s).fma(d, f)) * inverse;
    let z = two_prod(s, s);
    let z_lo = (s + s).fma(s_lo, z.lo);
    let z = z.hi;
    // log2 m = s (c1 + z (c3 + z p(z))); the two constants are pairs, and only the last term is rounded to one float.
    let (c1, c3) = (x.pick(POW_1, POW_1_F32), x.pick(POW_3, POW_3_F32));
    let t = fast_two_sum(x.constant(c3[0]), z * z.poly(&POW));
    let v = two_prod(z, t.hi);
    let v_lo = z.fma(t.lo + c3[1], z_lo.fma(t.hi, v.lo));
    let g = fast_two_sum(x.constant(c1[0]), v.hi);
    let g_lo = g.lo + (v_lo + c1[1]);
    let l = two_prod(s, g.hi);
    let l_lo = s_lo.fma(g.hi, s.fma(g_lo, l.lo));
    let sum = fast_two_sum(k, l.hi);
    Pair { hi: sum.hi, lo: sum.lo + l_lo }
}

/// `2^sum`, where `sum` is `hi + lo` rounded unless it is infinite or NaN.
fn power<'a>(sum: Lane<'a>, hi: Lane<'a>, lo: Lane<'a>) -> Lane<'a> {
    let limit = sum.pick(1080.0, 155.0);
    let format = sum.format();
    let shifted = sum.clamp(-limit, if sum.is_fast() { sum.pick(1024.4, 128.4) } else { limit }) + format.magic;
    let k = shifted - format.magic;
    // Where the result is zero or infinite, so may be what remains; NaN stays.
    let outside = sum.abs().gt(limit);
    let near = outside.select(sum.constant(0.0), hi - k);
    let lo = outside.select(sum.constant(0.0), lo);
    let r = near + lo;
    let p = r.poly(&EXP2);
    let ln2 = sum.pick(LN2, LN2_F32);
    let q = near.fma(ln2[0], lo.fma(ln2[0], r * p.fma(r, ln2[1])));
    finish(sum, q, k, shifted, lowest_power(sum))
}
