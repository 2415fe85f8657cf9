//! Unevaluated sums of two doubles, for what a single one is too coarse.

use super::poly::c;
use crate::{Builder, ValueId};

/// `hi + lo`, where `lo` is at most about half a unit in the last place of `hi` if normalized.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) hi: ValueId,
    pub(super) lo: ValueId,
}

/// `a + b`, exactly, for `|a| >= |b|` or `a = 0`.
pub(super) fn fast_two_sum(b: &mut Builder, x: ValueId, y: ValueId) -> Pair {
    let hi = b.fadd(x, y);
    let rest = b.fsub(hi, x);
    Pair { hi, lo: b.fsub(y, rest) }
}

/// `x + y`, exactly.
pub(super) fn two_sum(b: &mut Builder, x: ValueId, y: ValueId) -> Pair {
    let hi = b.fadd(x, y);
    let y1 = b.fsub(hi, x);
    let x1 = b.fsub(hi, y1);
    let (dx, dy) = (b.fsub(x, x1), b.fsub(y, y1));
    Pair { hi, lo: b.fadd(dx, dy) }
}

/// `x * y`, exactly unless it underflows.
pub(super) fn two_prod(b: &mut Builder, x: ValueId, y: ValueId) -> Pair {
    let hi = b.fmul(x, y);
    let neg = b.fneg(hi);
    Pair { hi, lo: b.fma(x, y, neg) }
}

/// `x * y` to about 2^-104.
pub(super) fn mul(b: &mut Builder, x: Pair, y: Pair) -> Pair {
    let p = two_prod(b, x.hi, y.hi);
    let lo = b.fma(x.hi, y.lo, p.lo);
    Pair { hi: p.hi, lo: b.fma(x.lo, y.hi, lo) }
}

/// `x + y` for `|x| >= |y|`, to about 2^-104 of the result if nothing cancels.
pub(super) fn add(b: &mut Builder, x: Pair, y: Pair) -> Pair {
    let s = fast_two_sum(b, x.hi, y.hi);
    let lo = b.fadd(x.lo, y.lo);
    Pair { hi: s.hi, lo: b.fadd(s.lo, lo) }
}

/// `a * z + x` where `a` and `z` are single and the product is smaller than the constant `x`.
pub(super) fn fma_const(b: &mut Builder, a: ValueId, z: ValueId, x: [f64; 2]) -> Pair {
    let (hi, lo) = (c(b, x[0]), c(b, x[1]));
    let sum = b.fma(a, z, hi);
    let rest = b.fsub(hi, sum);
    let rest = b.fma(a, z, rest);
    Pair { hi: sum, lo: b.fadd(rest, lo) }
}

/// The same sum with the low part as small as can be.
pub(super) fn normalize(b: &mut Builder, x: Pair) -> Pair {
    fast_two_sum(b, x.hi, x.lo)
}

/// `x / y`, rounded from a value that is good to about 2^-100; with one division.
pub(super) fn div(b: &mut Builder, x: Pair, y: Pair) -> ValueId {
    let one = c(b, 1.0);
    let inverse = b.fdiv(one, y.hi);
    let q = b.fmul(x.hi, inverse);
    let neg = b.fneg(q);
    let rest = b.fma(neg, y.hi, x.hi);
    let rest = b.fadd(rest, x.lo);
    let rest = b.fma(neg, y.lo, rest);
    b.fma(rest, inverse, q)
}
