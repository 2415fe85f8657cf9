//! `asin`, `acos`, `atan`, `atan2`.
//!
//! All end as `base + (u + u^3 p(u^2))`, where the base is a multiple of pi/2 in two parts and `u` a pair.

use super::coefficients::{ASIN, ATAN, HALF_PI, HALF_PI_F32};
use super::double::{Pair, fast_two_sum};
use super::lanes::{Lane, emit};
use crate::{Builder, Precision, ValueId};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

/// The angle in [-pi/2, pi/2] whose sine is `x`; NaN beyond 1.
pub fn asin(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let (big, u) = half_angle(x);
        // Beyond a half, pi/2 - 2 asin u.
        let factor = big.choose(x, -2.0, 1.0);
        let (hi, lo) = (big.choose(x, FRAC_PI_2, 0.0), big.choose(x, half_pi_low(x), 0.0));
        on_base(Pair { hi, lo }, Some(factor), u).copysign(x)
    })
}

/// The angle in [0, pi] whose cosine is `x`; NaN beyond 1.
pub fn acos(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let (big, u) = half_angle(x);
        // Up to a half, pi/2 - asin x; beyond, 2 asin u, or pi less that for a negative x.
        let negative = x.lt(0.0);
        let low = half_pi_low(x);
        let far = |pi: f64| negative.choose(x, pi, 0.0);
        let base =
            Pair { hi: big.select(far(PI), x.constant(FRAC_PI_2)), lo: big.select(far(2.0 * low), x.constant(low)) };
        let factor = big.choose(x, 2.0, -1.0).flip(x.sign_bit());
        on_base(base, Some(factor), u)
    })
}

/// The angle in [-pi/2, pi/2] whose tangent is `x`.
pub fn atan(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        // From here on, the result is the same.
        let m = x.abs().at_most(x.pick(2f64.powi(100), 2f64.powi(50)));
        let one = x.constant(1.0);
        // t = x, (x - 1) / (x + 1) or -1 / x, away from 0, pi/4 or pi/2.
        let (mid, big) = (m.gt(0.5), m.gt(2.0));
        let num = big.select(-one, mid.select(m - 1.0, m));
        let sum = fast_two_sum(m, one);
        let den = big.select(m, mid.select(sum.hi, one));
        let t = if x.is_fast() {
            (num / den).atan(None)
        } else {
            // Exact between the bounds.
            let den_lo = big.select(x.constant(0.0), mid.select(m - (sum.hi - 1.0), 0.0));
            quotient(num, Pair { hi: den, lo: den_lo })
        };
        let low = half_pi_low(x);
        let base = Pair {
            hi: big.select(x.constant(FRAC_PI_2), mid.choose(x, FRAC_PI_4, 0.0)),
            lo: big.select(x.constant(low), mid.choose(x, low / 2.0, 0.0)),
        };
        on_base(base, None, t).copysign(x)
    })
}

/// The angle in [-pi, pi] from the positive first axis to the point `(x, y)`, with the signed zeros and infinities of
/// C99.
pub fn atan2(b: &mut Builder, y: ValueId, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [y, x], |[y, x]| {
        let (zero, one) = (x.constant(0.0), x.constant(1.0));
        let (ax, ay) = (x.abs(), y.abs());
        let steep = ay.gt(ax);
        let negative = x.bits().is_negative();
        let (num, den) = (ay.at_most(ax), ay.at_least(ax));
        // Equal magnitudes give 1 (0 if both are 0), an infinite one 0: without a division that would be NaN.
        let equal = ax.eq(ay);
        let fixed = equal | den.eq(f64::INFINITY);
        let unit = (equal & den.gt(0.0)).select(one, zero);
        // Scaled, so that nothing overflows, and so that inverses and what the quotient lacks are normal numbers.
        let (top, up, down) = x.pick((500, 200, -500), (60, 50, -60));
        let factor = den.lt(2f64.powi(top)).choose(x, 2f64.powi(up), 2f64.powi(down));
        let (p, q) = (fixed.select(unit, num * factor), fixed.select(one, den * factor));
        // t = p / q, or (p - q) / (p + q), away from 0 or pi/4; the difference is exact.
        let mid = p.gt(q * 0.5);
        let sum = fast_two_sum(q, p);
        let (num, den) = (mid.select(p - q, p), mid.select(sum.hi, q));
        let t = if x.is_fast() {
            (num / den).atan(None)
        } else {
            quotient(num, Pair { hi: den, lo: mid.select(sum.lo, zero) })
        };
        // The angle is n pi/4 plus or minus that: counted from the nearer axis, or from the diagonal.
        let minus = (steep & !negative) | (negative & !steep);
        let sign = minus.choose(x, -1.0, 1.0);
        let n = steep.select(x.constant(2.0), negative.choose(x, 4.0, 0.0)) + mid.select(sign, zero);
        let hi = n * FRAC_PI_4;
        let lo = n.fma(half_pi_low(x) / 2.0, n.fma(FRAC_PI_4, -hi));
        let r = on_base(Pair { hi, lo }, Some(sign), t).copysign(y);
        (x.eq(x) & y.eq(y)).select(r, x + y)
    })
}

/// The angle whose tangent is `num / den`, up to a half, as a pair; with one division.
fn quotient<'a>(num: Lane<'a>, den: Pair<'a>) -> Pair<'a> {
    let inverse = 1.0 / den.hi;
    let t = num * inverse;
    let lacks = (-t).fma(den.lo, (-t).fma(den.hi, num));
    t.atan(Some(lacks * inverse))
}

/// pi/2 less the nearest float.
fn half_pi_low(x: Lane<'_>) -> f64 {
    x.pick(HALF_PI, HALF_PI_F32)[1]
}

/// What `asin` and `acos` share: whether `|x| > 1/2`, and `asin u = u.hi + u.lo` (already with the polynomial) of
/// `u = |x|`, or else of `u = sqrt((1 - |x|) / 2)`.
fn half_angle(x: Lane<'_>) -> (Lane<'_>, Pair<'_>) {
    let m = x.abs();
    let big = m.gt(0.5);
    // Exact.
    let w = m.fma(-0.5, 0.5);
    let z = big.select(w, m * m);
    let root = w.sqrt();
    let u = big.select(root, m);
    let tail = (u * z) * z.poly(&ASIN);
    if x.is_fast() {
        return (big, Pair { hi: u, lo: tail });
    }
    // What the square root lacks, divided by twice the root; the divisor need not be exact, and matters near 1/2 most.
    let lacks = (-root).fma(root, w);
    let slope = root.fma(-4.0, 3.0);
    let lo = lacks.fma(big.select(slope, 0.0), tail);
    (big, Pair { hi: u, lo })
}

/// `base + factor u`, for a `base` (high and low part) that is zero or larger, and a factor of 1, 2 or their negatives.
fn on_base<'a>(base: Pair<'a>, factor: Option<Lane<'a>>, u: Pair<'a>) -> Lane<'a> {
    let (hi, lo) = match factor {
        Some(factor) => (factor * u.hi, factor.fma(u.lo, base.lo)),
        None => (u.hi, u.lo + base.lo),
    };
    let s = fast_two_sum(base.hi, hi);
    s.hi + (lo + s.lo)
}

impl<'a> Lane<'a> {
    /// The angle whose tangent is this plus `rest`, up to a half, as a pair.
    fn atan(self, rest: Option<Lane<'a>>) -> Pair<'a> {
        let z = self * self;
        let cube = self * z;
        // The derivative is 1 / (1 + z), which is 1 - z to the few bits that the rest is worth.
        let rest = rest.map(|rest| (-z).fma(rest, rest));
        let lo = match rest {
            _ if self.is_short() && !self.is_fast() => z.poly_times(&ATAN, cube, rest),
            Some(rest) => cube.fma(z.poly(&ATAN), rest),
            None => cube * z.poly(&ATAN),
        };
        Pair { hi: self, lo }
    }
}
