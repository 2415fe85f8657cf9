//! Unevaluated sums of two floats, for what a single one is too coarse. Below, a unit is half one in the last place of
//! one: 2^-53 in `F64`, 2^-24 in `F32`.

use super::lanes::Lane;

/// `hi + lo`, where `lo` is at most about half a unit in the last place of `hi` if normalized.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) hi: Lane<'a>,
    pub(super) lo: Lane<'a>,
}

/// `x + y`, exactly, for `|x| >= |y|` or `x = 0`.
pub(super) fn fast_two_sum<'a>(x: Lane<'a>, y: Lane<'a>) -> Pair<'a> {
    let hi = x + y;
    Pair { hi, lo: (x - hi) + y }
}

/// `x + y`, exactly.
pub(super) fn two_sum<'a>(x: Lane<'a>, y: Lane<'a>) -> Pair<'a> {
    let hi = x + y;
    let y1 = hi - x;
    let x1 = hi - y1;
    Pair { hi, lo: (x - x1) + (y - y1) }
}

/// `x * y`, exactly unless it underflows.
pub(super) fn two_prod<'a>(x: Lane<'a>, y: Lane<'a>) -> Pair<'a> {
    let hi = x * y;
    Pair { hi, lo: x.fma(y, -hi) }
}

impl<'a> Pair<'a> {
    /// The nearest float.
    pub(super) fn sum(self) -> Lane<'a> {
        self.hi + self.lo
    }

    /// The same sum with the low part as small as can be.
    pub(super) fn normalize(self) -> Pair<'a> {
        fast_two_sum(self.hi, self.lo)
    }

    /// The quotient, with one division; its error beyond the rounding grows with the low parts' share in the sums.
    ///
    /// The first guess leaves a remainder; one more step divides that too.
    pub(super) fn over(self, y: Pair<'a>) -> Lane<'a> {
        let inverse = 1.0 / y.sum();
        let q = self.sum() * inverse;
        let minus = -q;
        let rest = minus.fma(y.hi, self.hi) + minus.fma(y.lo, self.lo);
        rest.fma(inverse, q)
    }
}
