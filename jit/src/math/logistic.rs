//! `sigmoid` and `logaddexp`: what is made of `1 + e^x`, kept as a pair.

use super::double::{Pair, fast_two_sum, two_sum};
use super::exp::{Reduced, finish, lowest_exponent, power};
use super::lanes::emit;
use super::log::of_pair;
use crate::{Builder, Precision, ValueId};

/// The logistic function `1 / (1 + e^-x)`.
pub fn sigmoid(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        // Held where the result is one or zero.
        let r = Reduced::of((-x).clamp(x.pick(-50.0, -25.0), x.pick(746.0, 104.0)));
        // Numerator and denominator are scaled down, so that the power does not overflow.
        let small = x.pick(2f64.powi(-64), 2f64.powi(-40));
        let power = power(r.shifted, small);
        let one = x.constant(small);
        let den = r.times(power, two_sum(one, power));
        if x.is_fast() {
            return one / den.sum();
        }
        Pair { hi: one, lo: x.constant(0.0) }.over(den)
    })
}

/// `log(e^x + e^y)`, without overflow.
pub fn logaddexp(b: &mut Builder, x: ValueId, y: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x, y], |[x, y]| {
        // The difference of two equal infinities is zero here.
        let d = -(x.eq(y).select(x.constant(0.0), x - y).abs());
        // Below, log(1 + e) is e.
        let low = x.pick(-40.0, -20.0);
        let held = d.at_least(x.pick(-746.0, -104.0));
        let r = Reduced::of(held);
        let tail = r.tail();
        let small = finish(held, r.hi + tail, r.k, r.shifted, lowest_exponent(x));
        let near = Reduced::of(d.at_least(low));
        let power = power(near.shifted, 1.0);
        let u = near.times(power, fast_two_sum(x.constant(1.0), power));
        let l = d.lt(low).select(small, of_pair(u.normalize(), None));
        x.at_least(y) + l
    })
}
