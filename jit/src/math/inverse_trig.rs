//! `asin`, `acos`, `atan`, `atan2`.
//!
//! All end as `base + sign (u + u^3 p(u^2))`, where the base is a multiple of pi/2 in two parts and `u` a pair.

use super::coefficients::{ASIN, ASIN_F32, ATAN, ATAN_UNIT, PI_2};
use super::double::{Pair, fast_two_sum};
use super::poly::{c, fma_c, mul_c, poly, to_bits, widened, widened2};
use crate::{Builder, Ty, ValueId};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

/// pi/2 less its double.
const PI_2_LOW: f64 = PI_2[1] + PI_2[2];

/// What `asin` and `acos` share: whether `|x| > 1/2`, and `asin u = u.hi + u.lo` (already with the polynomial) of
/// `u = |x|`, or else of `u = sqrt((1 - |x|) / 2)`.
fn half_angle(b: &mut Builder, magnitude: ValueId, short: bool) -> (ValueId, Pair) {
    let half = c(b, 0.5);
    let big = b.flt(half, magnitude);
    let nh = mul_c(b, magnitude, -0.5);
    // Exact.
    let w = b.fadd(nh, half);
    let square = b.fmul(magnitude, magnitude);
    let z = b.select(big, w, square);
    let root = b.fsqrt(w);
    let u = b.select(big, root, magnitude);
    let p = poly(b, z, if short { &ASIN_F32 } else { &ASIN });
    let u3 = b.fmul(u, z);
    if short {
        return (big, Pair { hi: u, lo: b.fmul(u3, p) });
    }
    // What the square root lacks. 0 / 0 must not be.
    let neg = b.fneg(root);
    let rest = b.fma(neg, root, w);
    let twice = b.fadd(root, root);
    let least = c(b, f64::MIN_POSITIVE);
    let twice = b.fmax(twice, least);
    let rest = b.fdiv(rest, twice);
    let zero = c(b, 0.0);
    let rest = b.select(big, rest, zero);
    (big, Pair { hi: u, lo: b.fma(u3, p, rest) })
}

/// `base + u`, for a `base` (high and low part) that is zero or larger.
fn on_base(b: &mut Builder, base: Pair, u: Pair) -> ValueId {
    let s = fast_two_sum(b, base.hi, u.hi);
    let lo = b.fadd(base.lo, u.lo);
    let lo = b.fadd(s.lo, lo);
    b.fadd(s.hi, lo)
}

/// `u`, or `-2 u` where `m` holds.
fn times(b: &mut Builder, m: ValueId, u: Pair, yes: f64, no: f64) -> Pair {
    let (yes, no) = (c(b, yes), c(b, no));
    let f = b.select(m, yes, no);
    Pair { hi: b.fmul(u.hi, f), lo: b.fmul(u.lo, f) }
}

/// `(hi, lo)` where `m` holds, else zero.
fn base_if(b: &mut Builder, m: ValueId, hi: f64, lo: f64) -> Pair {
    let (hi, lo, zero) = (c(b, hi), c(b, lo), c(b, 0.0));
    Pair { hi: b.select(m, hi, zero), lo: b.select(m, lo, zero) }
}

/// The angle in [-pi/2, pi/2] whose sine is `x`; NaN beyond 1.
pub fn asin(b: &mut Builder, x: ValueId) -> ValueId {
    let short = b.ty(x) == Ty::F32;
    let f = |b: &mut Builder, x| {
        let magnitude = b.fabs(x);
        let (big, u) = half_angle(b, magnitude, short);
        // Beyond a half, pi/2 - 2 asin u.
        let u = times(b, big, u, -2.0, 1.0);
        let base = base_if(b, big, FRAC_PI_2, PI_2_LOW);
        let y = on_base(b, base, u);
        b.fcopysign(y, x)
    };
    if short { widened(b, x, f) } else { f(b, x) }
}

/// The angle in [0, pi] whose cosine is `x`; NaN beyond 1.
pub fn acos(b: &mut Builder, x: ValueId) -> ValueId {
    let short = b.ty(x) == Ty::F32;
    let f = |b: &mut Builder, x| {
        let magnitude = b.fabs(x);
        let (big, u) = half_angle(b, magnitude, short);
        // Up to a half, pi/2 - asin x; beyond, 2 asin u, and pi less that for a negative x.
        let zero = c(b, 0.0);
        let negative = b.flt(x, zero);
        let u = times(b, big, u, -2.0, 1.0);
        let flip = c(b, -1.0);
        let one = c(b, 1.0);
        // -u for positive x, u for negative x
        let sign = b.select(negative, one, flip);
        let u = Pair { hi: b.fmul(u.hi, sign), lo: b.fmul(u.lo, sign) };
        let far = base_if(b, negative, PI, 2.0 * PI_2_LOW);
        let (mid, mid_lo) = (c(b, FRAC_PI_2), c(b, PI_2_LOW));
        let base = Pair { hi: b.select(big, far.hi, mid), lo: b.select(big, far.lo, mid_lo) };
        on_base(b, base, u)
    };
    if short { widened(b, x, f) } else { f(b, x) }
}

/// `atan t` for `t` in [0, 1], to 2^-32.
fn atan_short(b: &mut Builder, t: ValueId) -> Pair {
    let z = b.fmul(t, t);
    let t3 = b.fmul(t, z);
    let p = poly(b, z, &ATAN_UNIT);
    Pair { hi: t, lo: b.fmul(t3, p) }
}

/// `atan (t + rest)` for `|t|` up to tan(pi/8), as a pair.
fn atan_pair(b: &mut Builder, t: ValueId, rest: ValueId) -> Pair {
    let z = b.fmul(t, t);
    let t3 = b.fmul(t, z);
    let p = poly(b, z, &ATAN);
    // The derivative is 1 / (1 + z), which is 1 - z to the few bits that the rest is worth.
    let neg = b.fneg(z);
    let rest = b.fma(neg, rest, rest);
    Pair { hi: t, lo: b.fma(t3, p, rest) }
}

/// tan(pi/8): beyond, the angle is taken from pi/4.
const TAN_PI_8: f64 = 0.41421356237309503;

/// The angle in [-pi/2, pi/2] whose tangent is `x`.
pub fn atan(b: &mut Builder, x: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened(b, x, |b, x| {
            let magnitude = b.fabs(x);
            let one = c(b, 1.0);
            // Beyond one, pi/2 - atan(1 / x).
            let big = b.flt(one, magnitude);
            let inverse = b.fdiv(one, magnitude);
            let t = b.select(big, inverse, magnitude);
            let u = atan_short(b, t);
            let base = base_if(b, big, FRAC_PI_2, PI_2_LOW);
            let u = times(b, big, u, -1.0, 1.0);
            let y = on_base(b, base, u);
            b.fcopysign(y, x)
        });
    }
    let magnitude = b.fabs(x);
    // From here on, the result is the same.
    let top = c(b, 2f64.powi(100));
    let m = b.fmin(top, magnitude);
    // t = x, (x - 1) / (x + 1) or -1 / x, away from 0, pi/4 or pi/2
    let (low, high) = (c(b, TAN_PI_8), c(b, 1.0 / TAN_PI_8));
    let (mid, big) = (b.flt(low, m), b.flt(high, m));
    let (zero, one) = (c(b, 0.0), c(b, 1.0));
    let (p, q) = (b.select(big, zero, m), b.select(mid, one, zero));
    let (r, s) = (b.select(big, zero, one), b.select(mid, m, zero));
    let num = b.fsub(p, q);
    let back = b.fadd(num, q);
    let num_lo = b.fsub(p, back);
    let den = fast_two_sum(b, r, s);
    let inverse = b.fdiv(one, den.hi);
    let t = b.fmul(num, inverse);
    let neg = b.fneg(t);
    let rest = b.fma(neg, den.hi, num);
    let rest = b.fma(neg, den.lo, rest);
    let rest = b.fadd(rest, num_lo);
    let rest = b.fmul(rest, inverse);
    let u = atan_pair(b, t, rest);
    let base = base_if(b, mid, FRAC_PI_4, PI_2_LOW / 2.0);
    let (far, far_lo) = (c(b, FRAC_PI_2), c(b, PI_2_LOW));
    let base = Pair { hi: b.select(big, far, base.hi), lo: b.select(big, far_lo, base.lo) };
    let y = on_base(b, base, u);
    b.fcopysign(y, x)
}

/// The angle in [-pi, pi] from the positive first axis to the point `(x, y)`, with the signed zeros and infinities of
/// C99.
pub fn atan2(b: &mut Builder, y: ValueId, x: ValueId) -> ValueId {
    if b.ty(y) == Ty::F32 { widened2(b, y, x, |b, y, x| angle(b, y, x, true)) } else { angle(b, y, x, false) }
}

fn angle(b: &mut Builder, y: ValueId, x: ValueId, short: bool) -> ValueId {
    let (zero, one, inf) = (c(b, 0.0), c(b, 1.0), c(b, f64::INFINITY));
    let (ax, ay) = (b.fabs(x), b.fabs(y));
    let steep = b.flt(ax, ay);
    let bits = to_bits(b, x);
    let none = b.int(Ty::I64, 0);
    let negative = b.slt(bits, none);
    let (num, den) = (b.fmin(ax, ay), b.fmax(ax, ay));
    // Equal magnitudes give 1 (0 if both are 0), an infinite one 0: without a division that would be NaN.
    let equal = b.feq(ax, ay);
    let infinite = b.feq(den, inf);
    let fixed = b.mor(equal, infinite);
    let positive = b.flt(zero, den);
    let unit = b.mand(equal, positive);
    let value = b.select(unit, one, zero);
    let num = b.select(fixed, value, num);
    let den = b.select(fixed, one, den);

    // The angle is n pi/4 plus or minus atan t: counted from the nearer axis, or from the diagonal.
    let (two, four) = (c(b, 2.0), c(b, 4.0));
    let n = b.select(negative, four, zero);
    let n = b.select(steep, two, n);
    let minus = b.mxor(steep, negative);
    let minus_one = c(b, -1.0);
    let sign = b.select(minus, minus_one, one);
    let (n, u) = if short {
        let t = b.fdiv(num, den);
        (n, atan_short(b, t))
    } else {
        // Scaled, so that nothing overflows, and so that what the quotient lacks is a normal number.
        let bound = c(b, 2f64.powi(500));
        let (up, down) = (c(b, 2f64.powi(200)), c(b, 0.25));
        let low = b.flt(den, bound);
        let factor = b.select(low, up, down);
        let (p, r) = (b.fmul(num, factor), b.fmul(den, factor));
        let limit = mul_c(b, r, TAN_PI_8);
        let mid = b.flt(limit, p);
        // t = p / r, or (p - r) / (p + r)
        let (q, s) = (b.select(mid, r, zero), b.select(mid, p, zero));
        let num = b.fsub(p, q);
        let back = b.fadd(num, q);
        let num_lo = b.fsub(p, back);
        let den = fast_two_sum(b, r, s);
        let t = b.fdiv(num, den.hi);
        let neg = b.fneg(t);
        let rest = b.fma(neg, den.hi, num);
        let rest = b.fma(neg, den.lo, rest);
        let rest = b.fadd(rest, num_lo);
        let rest = b.fdiv(rest, den.hi);
        let step = b.select(mid, sign, zero);
        (b.fadd(n, step), atan_pair(b, t, rest))
    };
    let u = Pair { hi: b.fmul(u.hi, sign), lo: b.fmul(u.lo, sign) };
    let hi = mul_c(b, n, FRAC_PI_4);
    let neg = b.fneg(hi);
    let lo = fma_c(b, n, FRAC_PI_4, neg);
    let lo = fma_c(b, n, PI_2_LOW / 2.0, lo);
    let r = on_base(b, Pair { hi, lo }, u);
    let r = b.fcopysign(r, y);
    let (x_is, y_is) = (b.feq(x, x), b.feq(y, y));
    let ordered = b.mand(x_is, y_is);
    let nan = b.fadd(x, y);
    b.select(ordered, r, nan)
}
