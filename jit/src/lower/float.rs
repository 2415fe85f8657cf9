//! Arithmetic of all kinds of numbers: the ops that are one or a few primitives, by the kind of dtype.

use super::Lower;
use super::cast::mask_behind;
use crate::build::Builder;
use crate::kernel::{Ty, ValueId};
use lazuli_graph::Kind;

/// Sign bit and magnitude bits of a 16-bit float.
const SIGN_16: i64 = 0x8000;
const MAGNITUDE_16: i64 = 0x7fff;

impl Lower<'_> {
    pub(super) fn negative(&mut self, x: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float if self.is_half() => {
                let sign = self.b.int(Ty::I16, SIGN_16);
                self.b.xor(x, sign)
            }
            Kind::Float => self.b.fneg(x),
            Kind::Signed | Kind::Unsigned | Kind::Bool => self.b.ineg(x),
        }
    }

    pub(super) fn abs(&mut self, x: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float if self.is_half() => {
                let magnitude = self.b.int(Ty::I16, MAGNITUDE_16);
                self.b.and(x, magnitude)
            }
            Kind::Float => self.b.fabs(x),
            Kind::Signed => self.b.iabs(x),
            Kind::Unsigned | Kind::Bool => x,
        }
    }

    /// Of both zeros it is `0.0`, as in NumPy.
    pub(super) fn sign(&mut self, x: ValueId) -> ValueId {
        let ty = self.ty();
        match self.dtype.kind() {
            Kind::Float => self.float([x], |b, [x]| {
                let ty = b.ty(x);
                let (zero, one, minus_one) = (b.float(ty, 0.0), b.float(ty, 1.0), b.float(ty, -1.0));
                // Keeps NaN, and makes `-0.0` into `0.0`.
                let neither = b.fadd(x, zero);
                let (below, above) = (b.flt(x, zero), b.flt(zero, x));
                let not_above = b.select(below, minus_one, neither);
                b.select(above, one, not_above)
            }),
            Kind::Signed => {
                let (one, minus_one) = (self.b.int(ty, 1), self.b.int(ty, -1));
                let x = self.b.smin(x, one);
                self.b.smax(x, minus_one)
            }
            Kind::Unsigned | Kind::Bool => {
                let one = self.b.int(ty, 1);
                self.b.umin(x, one)
            }
        }
    }

    pub(super) fn add(&mut self, x: ValueId, y: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.float([x, y], |b, [x, y]| b.fadd(x, y)),
            Kind::Signed | Kind::Unsigned => self.b.iadd(x, y),
            Kind::Bool => self.logical_or(x, y),
        }
    }

    pub(super) fn subtract(&mut self, x: ValueId, y: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.float([x, y], |b, [x, y]| b.fsub(x, y)),
            Kind::Signed | Kind::Unsigned | Kind::Bool => self.b.isub(x, y),
        }
    }

    pub(super) fn multiply(&mut self, x: ValueId, y: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.float([x, y], |b, [x, y]| b.fmul(x, y)),
            Kind::Signed | Kind::Unsigned => self.b.imul(x, y),
            Kind::Bool => self.logical_and(x, y),
        }
    }

    pub(super) fn reciprocal(&mut self, x: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.float([x], |b, [x]| {
                let one = b.float(b.ty(x), 1.0);
                b.fdiv(one, x)
            }),
            Kind::Signed | Kind::Unsigned | Kind::Bool => self.int_reciprocal(x),
        }
    }

    pub(super) fn floor_divide(&mut self, x: ValueId, y: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.float([x, y], |b, [x, y]| {
                let d = Division::new(b, x, y);
                d.quotient(b)
            }),
            Kind::Signed | Kind::Unsigned | Kind::Bool => self.int_floor_divide(x, y),
        }
    }

    pub(super) fn remainder(&mut self, x: ValueId, y: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.float([x, y], |b, [x, y]| {
                let d = Division::new(b, x, y);
                d.remainder(b)
            }),
            Kind::Signed | Kind::Unsigned | Kind::Bool => self.int_remainder(x, y),
        }
    }

    pub(super) fn minimum(&mut self, x: ValueId, y: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.float([x, y], |b, [x, y]| minimum(b, x, y)),
            Kind::Signed => self.b.smin(x, y),
            Kind::Unsigned => self.b.umin(x, y),
            Kind::Bool => self.logical_and(x, y),
        }
    }

    pub(super) fn maximum(&mut self, x: ValueId, y: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.float([x, y], |b, [x, y]| maximum(b, x, y)),
            Kind::Signed => self.b.smax(x, y),
            Kind::Unsigned => self.b.umax(x, y),
            Kind::Bool => self.logical_or(x, y),
        }
    }

    pub(super) fn fmin(&mut self, x: ValueId, y: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.float([x, y], |b, [x, y]| {
                let least = minimum(b, x, y);
                number_of(b, x, y, least)
            }),
            Kind::Signed | Kind::Unsigned | Kind::Bool => self.minimum(x, y),
        }
    }

    pub(super) fn fmax(&mut self, x: ValueId, y: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.float([x, y], |b, [x, y]| {
                let greatest = maximum(b, x, y);
                number_of(b, x, y, greatest)
            }),
            Kind::Signed | Kind::Unsigned | Kind::Bool => self.maximum(x, y),
        }
    }

    pub(super) fn copysign(&mut self, x: ValueId, y: ValueId) -> ValueId {
        if !self.is_half() {
            return self.b.fcopysign(x, y);
        }
        let (magnitude, sign) = (self.b.int(Ty::I16, MAGNITUDE_16), self.b.int(Ty::I16, SIGN_16));
        let (magnitude, sign) = (self.b.and(x, magnitude), self.b.and(y, sign));
        self.b.or(magnitude, sign)
    }

    pub(super) fn round(&mut self, x: ValueId, rounding: fn(&mut Builder, ValueId) -> ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.float([x], |b, [x]| rounding(b, x)),
            Kind::Signed | Kind::Unsigned | Kind::Bool => x,
        }
    }

    pub(super) fn equal(&mut self, x: ValueId, y: ValueId) -> ValueId {
        let m = match self.dtype.kind() {
            Kind::Float => return self.float_test([x, y], |b, [x, y]| b.feq(x, y)),
            Kind::Bool => match (mask_behind(self.b, x), mask_behind(self.b, y)) {
                (Some(x), Some(y)) => {
                    let differ = self.b.mxor(x, y);
                    self.b.mnot(differ)
                }
                _ => self.b.ieq(x, y),
            },
            Kind::Signed | Kind::Unsigned => self.b.ieq(x, y),
        };
        self.boolean(m)
    }

    pub(super) fn not_equal(&mut self, x: ValueId, y: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.float_test([x, y], |b, [x, y]| b.fne(x, y)),
            Kind::Bool => self.logical_xor(x, y),
            Kind::Signed | Kind::Unsigned => {
                let m = self.b.ine(x, y);
                self.boolean(m)
            }
        }
    }

    pub(super) fn less(&mut self, x: ValueId, y: ValueId) -> ValueId {
        let m = match self.dtype.kind() {
            Kind::Float => return self.float_test([x, y], |b, [x, y]| b.flt(x, y)),
            Kind::Signed => self.b.slt(x, y),
            Kind::Unsigned | Kind::Bool => self.b.ult(x, y),
        };
        self.boolean(m)
    }

    pub(super) fn less_equal(&mut self, x: ValueId, y: ValueId) -> ValueId {
        let m = match self.dtype.kind() {
            Kind::Float => return self.float_test([x, y], |b, [x, y]| b.fle(x, y)),
            Kind::Signed => self.b.sle(x, y),
            Kind::Unsigned | Kind::Bool => self.b.ule(x, y),
        };
        self.boolean(m)
    }
}

/// The smaller; NaN if either is; of two zeros the negative one, so that the order of operands does not matter.
///
/// The two pseudo-minima are the same number, or the two zeros, or the two operands where one is NaN. Or-ing their bits
/// keeps the number, gives `-0.0` for mixed zeros, and leaves a NaN a NaN: its exponent is all ones already.
fn minimum(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    let ty = b.ty(x);
    let (p, q) = (b.fmin(x, y), b.fmin(y, x));
    let (p, q) = (b.bitcast(ty.bits(), p), b.bitcast(ty.bits(), q));
    let both = b.or(p, q);
    b.bitcast(ty, both)
}

/// The larger; NaN if either is; of two zeros the positive one. The bits are those of `-minimum(-x, -y)`, since there is
/// no bit operation that does both for maxima.
fn maximum(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    let (x, y) = (b.fneg(x), b.fneg(y));
    let least = minimum(b, x, y);
    b.fneg(least)
}

/// `both`, or the one that is a number where the other is NaN.
fn number_of(b: &mut Builder, x: ValueId, y: ValueId, both: ValueId) -> ValueId {
    let (x_number, y_number) = (b.feq(x, x), b.feq(y, y));
    let with_x = b.select(y_number, both, x);
    b.select(x_number, with_x, y)
}

/// Floored division of floats, step by step as NumPy's `divmod` does it, which fixes every special case.
struct Division {
    x: ValueId,
    y: ValueId,
    /// The remainder with the sign of `x`: exact.
    truncated: ValueId,
    /// Whether it is neither zero nor of the sign of `y`.
    adjust: ValueId,
}

impl Division {
    fn new(b: &mut Builder, x: ValueId, y: ValueId) -> Division {
        let zero = b.float(b.ty(x), 0.0);
        let truncated = super::function::fmod(b, x, y);
        let (inexact, negative, y_negative) = (b.fne(truncated, zero), b.flt(truncated, zero), b.flt(y, zero));
        let differ = b.mxor(negative, y_negative);
        let adjust = b.mand(inexact, differ);
        Division { x, y, truncated, adjust }
    }

    fn quotient(&self, b: &mut Builder) -> ValueId {
        let ty = b.ty(self.x);
        let (zero, half, one) = (b.float(ty, 0.0), b.float(ty, 0.5), b.float(ty, 1.0));
        let ratio = b.fdiv(self.x, self.y);
        // Nearly an integer: `x - truncated` is a multiple of `y`, up to rounding.
        let multiple = b.fsub(self.x, self.truncated);
        let quotient = b.fdiv(multiple, self.y);
        let less = b.fsub(quotient, one);
        let quotient = b.select(self.adjust, less, quotient);
        // Snap to the nearest integer.
        let floor = b.ffloor(quotient);
        let fraction = b.fsub(quotient, floor);
        let over = b.flt(half, fraction);
        let next = b.fadd(floor, one);
        let snapped = b.select(over, next, floor);
        // A zero takes the sign of the ratio; division by zero is the ratio.
        let signed_zero = b.fcopysign(zero, ratio);
        let nonzero = b.fne(quotient, zero);
        let snapped = b.select(nonzero, snapped, signed_zero);
        let by_zero = b.feq(self.y, zero);
        b.select(by_zero, ratio, snapped)
    }

    fn remainder(&self, b: &mut Builder) -> ValueId {
        let zero = b.float(b.ty(self.x), 0.0);
        let floored = b.fadd(self.truncated, self.y);
        let floored = b.select(self.adjust, floored, self.truncated);
        // A zero takes the sign of the divisor.
        let signed_zero = b.fcopysign(zero, self.y);
        let exact = b.feq(self.truncated, zero);
        b.select(exact, signed_zero, floored)
    }
}
