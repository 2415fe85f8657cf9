//! `erf` and `erfc`.
//!
//! Near zero, `erf x = x + x E(x^2)`. Beyond, `erfc x = e^(-x^2) G(t) / (1 + 2 x)`, where `t = (x - c) / (x + c)` takes
//! all `x` that matter into an interval in which `G` is a polynomial that hardly moves away from 5/4
//! (Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity", 1981).

use super::coefficients::{ERF, ERFC};
use super::double::{Pair, fast_two_sum, two_prod};
use super::exp::{Reduced, exp_of, scale};
use super::lanes::{Lane, emit};
use crate::{Builder, Precision, ValueId};

/// The error function.
pub fn erf(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let m = x.abs();
        let far = Far::of(m);
        let far = if x.is_fast() { exp_of(-(far.x * far.x)) * ((far.g + 1.25) * far.w) } else { far.complement() };
        let near = m.fma((m * m).poly(&ERF), m);
        m.lt(0.75).select(near, 1.0 - far).copysign(x)
    })
}

/// The complement of the error function, `1 - erf(x)`.
pub fn erfc(b: &mut Builder, x: ValueId, precision: Precision) -> ValueId {
    emit(b, precision, [x], |[x]| {
        let m = x.abs();
        let s = fast_two_sum(x.constant(1.0), -x);
        let near = s.hi + (-x).fma((x * x).poly(&ERF), s.lo);
        let far = Far::of(m).complement();
        m.lt(0.75).select(near, x.lt(0.0).select(2.0 - far, far))
    })
}

/// What an argument of at least 1/2 is taken to.
struct Far<'a> {
    /// The argument, held where the complement is zero.
    x: Lane<'a>,
    /// `G - 5/4`.
    g: Lane<'a>,
    /// `1 + 2 x`, rounded, and its inverse.
    d: Lane<'a>,
    w: Lane<'a>,
}

impl<'a> Far<'a> {
    fn of(magnitude: Lane<'a>) -> Far<'a> {
        let x = magnitude.at_most(magnitude.pick(27.5, 10.5));
        let center = x.pick(3.5, 2.5);
        let t = (x - center) / (x + center);
        let d = x + x + 1.0;
        Far { x, g: t.poly(&ERFC), d, w: 1.0 / d }
    }

    fn complement(&self) -> Lane<'a> {
        let g = fast_two_sum(self.g.constant(1.25), self.g);
        // What the inverse lacks, with what the rounding of 1 + 2 x took.
        let d_lo = (self.x + self.x - self.d) + 1.0;
        let w = self.w;
        let w_lo = (-w).fma(d_lo, (-w).fma(self.d, 1.0)) * w;
        let h = two_prod(g.hi, w);
        let h = Pair { hi: h.hi, lo: w.fma(g.lo, w_lo.fma(g.hi, h.lo)) };
        // e^r = 1 + hi + tail
        let square = two_prod(self.x, self.x);
        let r = Reduced::of_pair(-square.hi, -square.lo);
        let e = fast_two_sum(self.x.constant(1.0), r.hi);
        let y = two_prod(h.hi, e.hi);
        let lo = h.lo.fma(e.hi, h.hi.fma(e.lo + r.tail(), y.lo));
        scale(y.hi + lo, r.shifted)
    }
}
