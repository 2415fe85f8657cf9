//! `pow`.
//!
//! `x^y = 2^(y log2 x)`, where the logarithm is a pair that is good to about 2^-66 (2^-35 in `F32`): of the product's at
//! most 1074 (149), an error of 2^-56 (2^-28) remains, so that the result is off by little more than its rounding.

use super::coefficients::{EXP2, LN2, LN2_F32, POW, POW_1, POW_1_F32, POW_3, POW_3_F32};
use super::double::{Pair, fast_two_sum, two_prod};
use super::exp::{finish, lowest_power};
use super::lanes::{Lane, emit};
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
        // NaN for negative bases that have no power; infinity has.
        let hi = (x.lt(0.0) & x.gt(f64::NEG_INFINITY) & exponent.broken).select(x.constant(f64::NAN), product.hi);
        let r = power(hi, held.fma(log.lo, product.lo)).flip(exponent.odd.choose(x, -0.0, 0.0).bits().and(x.bits()));
        (x.eq(1.0) | y.eq(0.0)).select(x.constant(1.0), r)
    })
}

/// What matters of an exponent for negative bases.
struct Exponent<'a> {
    odd: Lane<'a>,
    /// No integer.
    broken: Lane<'a>,
}

impl<'a> Exponent<'a> {
    fn of(y: Lane<'a>) -> Exponent<'a> {
        let half = (y * 0.5).round();
        let whole = y.round();
        Exponent { odd: (half + half).ne(y) & whole.eq(y), broken: whole.ne(y) }
    }
}

/// `log2 x` for positive `x`, as a pair that is not normalized; of zero and infinity, only the first part counts.
fn log2(x: Lane<'_>) -> Pair<'_> {
    let (k, m) = x.split();
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

/// `2^(hi + lo)`.
fn power<'a>(hi: Lane<'a>, lo: Lane<'a>) -> Lane<'a> {
    let limit = hi.pick(1080.0, 155.0);
    let format = hi.format();
    let limits = (-limit, if hi.is_fast() { hi.pick(1024.4, 128.4) } else { limit });
    let held = hi.clamp(limits.0, limits.1);
    // Where the result is zero or infinite, so may be what remains; NaN stays.
    let lo = held.eq(hi).select(lo, 0.0);
    let shifted = held + format.magic;
    let k = shifted - format.magic;
    let near = held - k;
    let r = near + lo;
    let p = r.poly(&EXP2);
    let ln2 = held.pick(LN2, LN2_F32);
    let q = near.fma(ln2[0], lo.fma(ln2[0], r * p.fma(r, ln2[1])));
    finish(held, q, k, shifted, lowest_power(held))
}
