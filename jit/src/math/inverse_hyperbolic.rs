//! `asinh`, `acosh`, `atanh`: logarithms of sums that are kept as pairs.

use super::double::{Pair, fast_two_sum, two_prod, two_sum};
use super::lanes::{Lane, emit};
use super::log::of_pair;
use crate::{Builder, Precision, ValueId};

/// The inverse hyperbolic sine: `log(|x| + sqrt(x^2 + 1))` with the sign of `x`; near zero the first terms of its series.
pub fn asinh(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let m = x.abs();
        // Beyond, the sum is 2 |x|; the square would overflow.
        let top = top(x);
        let held = m.at_most(top);
        let square = two_prod(held, held);
        let root = root({
            let t = two_sum(x.constant(1.0), square.hi);
            Pair { hi: t.hi, lo: t.lo + square.lo }
        });
        let u = fast_two_sum(root.hi, held);
        let huge = m.gt(top);
        let u = Pair { hi: huge.select(m, u.hi), lo: huge.select(x.constant(0.0), u.lo + root.lo) };
        let y = of_pair(u, Some(huge.choose(x, 1.0, 0.0)));
        let y = m.lt(f64::INFINITY).select(y, m);
        let series = (m * m).fma(m * (-1.0 / 6.0), m);
        m.lt(x.pick(2f64.powi(-14), 2f64.powi(-7))).select(series, y).copysign(x)
    })
}

/// The inverse hyperbolic cosine: `log(x + sqrt(x^2 - 1))`; NaN below 1.
pub fn acosh(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let top = top(x);
        let held = x.at_most(top);
        let square = two_prod(held, held);
        let t = fast_two_sum(square.hi, x.constant(-1.0));
        let root = root(fast_two_sum(t.hi, t.lo + square.lo));
        let u = fast_two_sum(held, root.hi);
        let huge = x.gt(top);
        let u = Pair { hi: huge.select(x, u.hi), lo: huge.select(x.constant(0.0), u.lo + root.lo) };
        let y = of_pair(u, Some(huge.choose(x, 1.0, 0.0)));
        let y = x.lt(f64::INFINITY).select(y, x);
        x.lt(1.0).select(x.constant(f64::NAN), y)
    })
}

/// The inverse hyperbolic tangent: half of `log(1 + 2 |x| / (1 - |x|))` with the sign of `x`, near zero the first
/// terms of its series; NaN beyond 1.
pub fn atanh(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let m = x.abs();
        let d = fast_two_sum(x.constant(1.0), -m);
        let inverse = 1.0 / d.hi;
        let twice = m + m;
        let v = twice * inverse;
        let lo = (-v).fma(d.lo, (-v).fma(d.hi, twice)) * inverse;
        let u = two_sum(x.constant(1.0), v);
        let y = of_pair(Pair { hi: u.hi, lo: u.lo + lo }, None) * 0.5;
        let end = m.eq(1.0).choose(x, f64::INFINITY, f64::NAN);
        let y = m.lt(1.0).select(y, end);
        let series = (m * m).fma(m * (1.0 / 3.0), m);
        m.lt(x.pick(2f64.powi(-14), 2f64.powi(-8))).select(series, y).copysign(x)
    })
}

/// Beyond, one is nothing beside the square.
fn top(x: Lane<'_>) -> f64 {
    x.pick(2f64.powi(60), 2f64.powi(30))
}

/// The square root of a pair that is zero or larger, as a pair.
fn root(t: Pair<'_>) -> Pair<'_> {
    let hi = t.hi.sqrt();
    let rest = (-hi).fma(hi, t.hi) + t.lo;
    // 0 / 0 must not be.
    Pair { hi, lo: rest / (hi + hi).at_least(hi.format().least) }
}
