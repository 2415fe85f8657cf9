//! `sinh`, `cosh`, `tanh`.
//!
//! With `|x| = k ln 2 + r`: `e^|x| = 2^k (cosh r + sinh r)` and `e^-|x| = 2^-k (cosh r - sinh r)`. So
//! `sinh |x| = A cosh r + B sinh r` and `cosh |x| = B cosh r + A sinh r`, where `A` and `B` are half the difference and
//! half the sum of the two powers: no division, and nothing cancels.

use super::coefficients::{COSH, LN2_SHORT, LN2_SHORT_F32, SINH};
use super::double::{Pair, fast_two_sum};
use super::exp::{Reduced, inverse_power, multiples, power};
use super::lanes::{Lane, emit};
use crate::{Builder, Precision, ValueId};
use std::f64::consts::LOG2_E;

/// The hyperbolic sine.
pub fn sinh(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let p = Parts::of(x.abs());
        let y = p.combine(p.difference, p.sum.hi).copysign(x);
        x.abs().lt(x.pick(2f64.powi(-28), 2f64.powi(-13))).select(x, y)
    })
}

/// The hyperbolic cosine.
pub fn cosh(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let p = Parts::of(x.abs());
        p.combine(p.sum, p.difference.hi)
    })
}

/// The hyperbolic tangent: `((1 - 2^-k) + (e^r - 1)) / ((1 + 2^-k) + (e^r - 1))` of `2 |x| = k ln 2 + r`.
pub fn tanh(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let magnitude = x.abs();
        // Beyond, the result is one.
        let twice = (magnitude + magnitude).at_most(x.pick(40.0, 20.0));
        let r = Reduced::of(twice);
        let inverse = inverse_power(r.shifted, 1.0);
        let tail = r.tail();
        let one = x.constant(1.0);
        let [above, below] = [-inverse, inverse].map(|inverse| {
            let base = fast_two_sum(one, inverse);
            // The base is zero or larger than r.
            let sum = fast_two_sum(base.hi, r.hi);
            Pair { hi: sum.hi, lo: if x.is_fast() { sum.lo + tail } else { sum.lo + (tail + base.lo) } }
        });
        let y = if x.is_fast() { above.sum() / below.sum() } else { above.over(below) };
        y.copysign(x)
    })
}

/// The pieces of sine and cosine, halved so that nothing overflows too early.
struct Parts<'a> {
    /// Half the difference and the sum of the powers; the low parts are what rounding took.
    difference: Pair<'a>,
    sum: Pair<'a>,
    /// `cosh r - 1`.
    cosh: Lane<'a>,
    /// `r` and, with what its rounding took, `sinh r - r`.
    r: Lane<'a>,
    sinh: Lane<'a>,
}

impl<'a> Parts<'a> {
    fn of(magnitude: Lane<'a>) -> Parts<'a> {
        // Beyond, both overflow.
        let x = magnitude.at_most(magnitude.pick(710.6, 89.5));
        let (shifted, k) = multiples(x, LOG2_E);
        let ln2 = x.pick(LN2_SHORT, LN2_SHORT_F32);
        let hi = k.fma(-ln2[0], x);
        let lo = k * -ln2[1];
        let r = hi + lo;
        let z = r * r;
        let up = power(shifted, 0.25);
        // The exponent of a power that does not matter any more is held, lest it wrap.
        let down = inverse_power(shifted.at_most(x.format().magic + x.pick(1000.0, 120.0)), 0.25);
        let (difference, sum) = (up - down, up + down);
        Parts {
            difference: Pair { hi: difference, lo: (up - difference) - down },
            sum: Pair { hi: sum, lo: (up - sum) + down },
            // In 24 bits, rounding the square takes a tenth of the result's last place.
            cosh: if x.is_short() {
                (r * z.first(&COSH)).fma(r, z * z * z.poly_behind_first(&COSH))
            } else {
                z * z.poly(&COSH)
            },
            r: hi,
            sinh: (r * z).fma(z.poly(&SINH), lo),
        }
    }

    /// `2 (x cosh r + y sinh r)`.
    fn combine(&self, x: Pair<'a>, y: Lane<'a>) -> Lane<'a> {
        let hi = y.fma(self.r, x.hi);
        let lo = y.fma(self.r, x.hi - hi) + x.lo;
        let lo = x.hi.fma(self.cosh, y.fma(self.sinh, lo));
        let half = hi + lo;
        half + half
    }
}
