//! `pow`.
//!
//! `x^y = e^(y log x)`, where the logarithm is a pair that is good to about 2^-67: of the product's at most 745, an error
//! of 2^-57 remains, so that the result is off by little more than its rounding.

use super::coefficients::{LN2, POW, TWO_FIFTHS, TWO_THIRDS};
use super::double::{Pair, add, fast_two_sum, fma_const, mul, normalize, two_prod};
use super::exp::{exp_of, exp_short};
use super::log::{short, split};
use super::poly::{add_c, c, clamp, fma_c, from_bits, int, mul_c, poly, to_bits, widened2};
use crate::{Builder, Ty, ValueId};

/// `log x` for positive finite `x`.
fn log_pair(b: &mut Builder, x: ValueId) -> Pair {
    let (k, m) = split(b, x, true);
    let f = add_c(b, m, -1.0);
    // s = f / (2 + f) as a pair: f - 2 s is exact, and the rest of 2 + f is what rounding took
    let two = c(b, 2.0);
    let d = fast_two_sum(b, two, f);
    let one = c(b, 1.0);
    let inverse = b.fdiv(one, d.hi);
    let s_hi = b.fmul(f, inverse);
    let neg = b.fneg(s_hi);
    let rest = b.fma(neg, d.hi, f);
    let rest = b.fma(neg, d.lo, rest);
    let s = Pair { hi: s_hi, lo: b.fmul(rest, inverse) };
    // 2 s + s^3 (2/3 + z (2/5 + z p(z))), z = s^2, with the two leading coefficients as pairs
    let z = mul(b, s, s);
    let p = poly(b, z.hi, &POW);
    let v = fma_const(b, z.hi, p, [TWO_FIFTHS[0], TWO_FIFTHS[1]]);
    let w = mul(b, z, v);
    let third = Pair { hi: c(b, TWO_THIRDS[0]), lo: c(b, TWO_THIRDS[1]) };
    let t = add(b, third, w);
    let s3 = mul(b, z, s);
    let u = mul(b, s3, t);
    let double = Pair { hi: b.fadd(s.hi, s.hi), lo: b.fadd(s.lo, s.lo) };
    let l = add(b, double, u);
    // k ln 2, whose high part is exact
    let ln2 = Pair { hi: mul_c(b, k, LN2[0]), lo: mul_c(b, k, LN2[1]) };
    let sum = add(b, ln2, l);
    normalize(b, sum)
}

/// `x^y`, with every special case of C99: `pow(x, 0)` and `pow(1, y)` are 1 even for NaN.
pub fn pow(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    if b.ty(x) == Ty::F32 {
        return widened2(b, x, y, |b, x, y| {
            let magnitude = b.fabs(x);
            let (k, l) = short(b, magnitude);
            let l = fma_c(b, k, std::f64::consts::LN_2, l);
            let l = log_edges(b, magnitude, l);
            let y1 = hold(b, y);
            let product = b.fmul(y1, l);
            let r = exp_short(b, product);
            finish(b, x, y, r)
        });
    }
    let magnitude = b.fabs(x);
    let l = log_pair(b, magnitude);
    let l_hi = log_edges(b, magnitude, l.hi);
    let y1 = hold(b, y);
    let product = two_prod(b, y1, l_hi);
    let low = b.fma(y1, l.lo, product.lo);
    let held = clamp(b, product.hi, -800.0, 800.0);
    let inside = b.feq(held, product.hi);
    let zero = c(b, 0.0);
    let low = b.select(inside, low, zero);
    let r = exp_of(b, held, Some(low));
    finish(b, x, y, r)
}

/// An exponent held where the result is 0, 1 or infinite in any case, so that infinity times the logarithm of 1 is 0.
fn hold(b: &mut Builder, y: ValueId) -> ValueId {
    clamp(b, y, -1e30, 1e30)
}

/// The logarithm of zero, infinity and NaN.
fn log_edges(b: &mut Builder, x: ValueId, l: ValueId) -> ValueId {
    let (inf, zero, least) = (c(b, f64::INFINITY), c(b, 0.0), c(b, f64::NEG_INFINITY));
    let finite = b.flt(x, inf);
    let l = b.select(finite, l, x);
    let is_zero = b.feq(x, zero);
    b.select(is_zero, least, l)
}

/// The sign, NaN for roots of negative numbers, and the cases that are 1 whatever the other argument.
fn finish(b: &mut Builder, x: ValueId, y: ValueId, r: ValueId) -> ValueId {
    let whole = b.fnearest(y);
    let whole = b.feq(whole, y);
    let half = mul_c(b, y, 0.5);
    let even = b.fnearest(half);
    let even = b.feq(even, half);
    let not_even = b.mnot(even);
    let odd = b.mand(whole, not_even);
    let (sign, none) = (int(b, 1 << 63), int(b, 0));
    let bits = to_bits(b, x);
    let sign = b.and(bits, sign);
    let sign = b.select(odd, sign, none);
    let bits = to_bits(b, r);
    let r = b.xor(bits, sign);
    let r = from_bits(b, r);

    let (zero, one, least) = (c(b, 0.0), c(b, 1.0), c(b, f64::NEG_INFINITY));
    let negative = b.flt(x, zero);
    let finite = b.flt(least, x);
    let negative = b.mand(negative, finite);
    let broken = b.mnot(whole);
    let broken = b.mand(negative, broken);
    let nan = c(b, f64::NAN);
    let r = b.select(broken, nan, r);
    let x_one = b.feq(x, one);
    let y_zero = b.feq(y, zero);
    let is_one = b.mor(x_one, y_zero);
    b.select(is_one, one, r)
}
