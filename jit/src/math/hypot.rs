//! `hypot` and `cbrt`.

use super::double::{Pair, fast_two_sum, two_prod};
use super::lanes::{Lane, emit};
use crate::{Builder, Precision, ValueId};

/// `sqrt(x^2 + y^2)` without undue overflow or underflow. Infinite if either argument is, even if the other is NaN.
///
/// The squares and their sum are exact pairs; one step of Newton's method adds what the rounded root lacks.
pub fn hypot(b: &mut Builder, x: ValueId, y: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x, y], |[x, y]| {
        if x.is_short() {
            // The square of a binary32 is exact in a double, and far from the ends of the range.
            let (wide, other) = (x.widen(), y.widen());
            let r = wide.fma(wide, other * other).sqrt().narrow();
            return infinite(x.abs(), y.abs(), r);
        }
        let (x, y) = (x.abs(), y.abs());
        // If either is NaN, these orders make one of the two NaN.
        let (large, small) = (y.at_least(x), x.at_most(y));
        // Scaled by a power of two, so that the squares and their rounding errors are normal numbers.
        let (high, low) = (large.gt(2f64.powi(500)), large.lt(2f64.powi(-400)));
        let pick = |up: f64, down: f64| high.select(x.constant(up), low.choose(x, down, 1.0));
        let (p, q) = {
            let factor = pick(2f64.powi(-600), 2f64.powi(600));
            (large * factor, small * factor)
        };
        let h = if x.is_fast() {
            p.fma(p, q * q).sqrt()
        } else {
            let (p2, q2) = (two_prod(p, p), two_prod(q, q));
            let s = fast_two_sum(p2.hi, q2.hi);
            let lo = s.lo + (p2.lo + q2.lo);
            let h = s.hi.sqrt();
            let rest = (-h).fma(h, s.hi) + lo;
            // 0 / 0 must not be.
            h + rest / (h + h).at_least(f64::MIN_POSITIVE)
        };
        infinite(x, y, h * pick(2f64.powi(600), 2f64.powi(-600)))
    })
}

/// Infinity where one of the magnitudes is, else `r`.
fn infinite<'a>(x: Lane<'a>, y: Lane<'a>, r: Lane<'a>) -> Lane<'a> {
    let any = x.eq(f64::INFINITY) | y.eq(f64::INFINITY);
    any.select(x.constant(f64::INFINITY), r)
}

/// The cube root: `x z^2`, where `z = x^(-1/3)` comes from a third of the exponent, and steps of
/// `z (1 + h/3 + 2 h^2/9 + ...)`, `h = 1 - x z^3`, the binomial series of `(1 - h)^(-1/3)`. No division.
pub fn cbrt(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let magnitude = x.abs();
        // Scaled away from where the residual below would be subnormal.
        let (bound, up, down) = x.pick((-700, 300, -100), (-60, 60, -20));
        let small = magnitude.lt(2f64.powi(bound));
        let m = small.select(magnitude * 2f64.powi(up), magnitude);
        let z = inverse_root(m);
        let z2 = z * z;
        let y = m * z2;
        // One step of Newton's method: the residual m - y^3 to twice the precision, times z^2 / 3 = 1 / (3 y^2).
        let y = if x.is_fast() && !x.is_short() {
            y
        } else {
            let Pair { hi, lo } = two_prod(y, y);
            let rest = (-lo).fma(y, (-hi).fma(y, m));
            rest.fma(z2 * (1.0 / 3.0), y)
        };
        let y = small.select(y * 2f64.powi(down), y).copysign(x);
        // Zeros, infinities and NaN are their own roots.
        (magnitude.gt(0.0) & magnitude.lt(f64::INFINITY)).select(y, x)
    })
}

/// `m^(-1/3)` for normal positive `m`: to 2^-56, or 2^-20 in `F32`.
fn inverse_root(m: Lane<'_>) -> Lane<'_> {
    // A float's bits, as a number, are nearly its logarithm; what is done with it is done in the high bits, so few that
    // a float can hold them as a number.
    let drop = m.pick(32, 8);
    let two = 2f64.powi(m.format().fraction as i32);
    let under = super::exp::bits(m, two);
    let word = m.bits().shr(drop).with(under).float() - two;
    let word = word.fma(-1.0 / 3.0, two + m.pick(INVERSE_ROOT, INVERSE_ROOT_F32));
    let z = word.bits().shl(drop).float();
    let z = root_step(m, z, &[1.0 / 3.0, 2.0 / 9.0, 14.0 / 81.0, 35.0 / 243.0]);
    if m.is_short() { z } else { root_step(m, z, &[1.0 / 3.0, 2.0 / 9.0]) }
}

/// The high bits of the first guess for 1: makes the largest `|1 - m z^3|` least.
const INVERSE_ROOT: f64 = 1430186164.0;
const INVERSE_ROOT_F32: f64 = 5546480.0;

fn root_step<'a>(m: Lane<'a>, z: Lane<'a>, series: &[f64]) -> Lane<'a> {
    let h = (-(m * (z * z))).fma(z, 1.0);
    (z * h).fma(h.horner(series), z)
}
