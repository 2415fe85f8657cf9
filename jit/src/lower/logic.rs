//! Questions about a number, logic on `bool`s, and bit operations.

use super::Lower;
use super::cast::{mask_behind, truth};
use crate::build::Builder;
use crate::kernel::{Ty, ValueId};
use lazuli_graph::{DType, Kind};

type Op = fn(&mut Builder, ValueId, ValueId) -> ValueId;

impl Lower<'_> {
    /// The magnitude bits of a 16-bit float, and those of infinity.
    fn half_magnitude(&mut self, x: ValueId) -> (ValueId, ValueId) {
        let (mask, infinity) = (0x7fff, if self.dtype == DType::F16 { 0x7c00 } else { 0x7f80 });
        let (mask, infinity) = (self.b.int(Ty::I16, mask), self.b.int(Ty::I16, infinity));
        (self.b.and(x, mask), infinity)
    }

    pub(super) fn isnan(&mut self, x: ValueId) -> ValueId {
        let m = match self.dtype.kind() {
            Kind::Float if self.is_half() => {
                let (magnitude, infinity) = self.half_magnitude(x);
                self.b.ult(infinity, magnitude)
            }
            Kind::Float => self.b.fne(x, x),
            Kind::Signed | Kind::Unsigned | Kind::Bool => return self.always(false),
        };
        self.boolean(m)
    }

    pub(super) fn isinf(&mut self, x: ValueId) -> ValueId {
        let m = match self.dtype.kind() {
            Kind::Float if self.is_half() => {
                let (magnitude, infinity) = self.half_magnitude(x);
                self.b.ieq(magnitude, infinity)
            }
            Kind::Float => {
                let (magnitude, infinity) = (self.b.fabs(x), self.b.float(self.ty(), f64::INFINITY));
                self.b.feq(magnitude, infinity)
            }
            Kind::Signed | Kind::Unsigned | Kind::Bool => return self.always(false),
        };
        self.boolean(m)
    }

    pub(super) fn isfinite(&mut self, x: ValueId) -> ValueId {
        let m = match self.dtype.kind() {
            Kind::Float if self.is_half() => {
                let (magnitude, infinity) = self.half_magnitude(x);
                self.b.ult(magnitude, infinity)
            }
            Kind::Float => {
                let (magnitude, infinity) = (self.b.fabs(x), self.b.float(self.ty(), f64::INFINITY));
                self.b.flt(magnitude, infinity)
            }
            Kind::Signed | Kind::Unsigned | Kind::Bool => return self.always(true),
        };
        self.boolean(m)
    }

    pub(super) fn signbit(&mut self, x: ValueId) -> ValueId {
        let bits = match self.dtype.kind() {
            Kind::Float if self.is_half() => x,
            Kind::Float => self.b.bitcast(self.ty().bits(), x),
            Kind::Signed => x,
            Kind::Unsigned | Kind::Bool => return self.always(false),
        };
        let zero = self.b.int(self.ty().bits(), 0);
        let m = self.b.slt(bits, zero);
        self.boolean(m)
    }

    /// Logic on `bool`s. Where one is a mask already, both become masks; two from memory stay bytes.
    fn logical(&mut self, x: ValueId, y: ValueId, on_masks: Op, on_bytes: Op) -> ValueId {
        if mask_behind(self.b, x).is_none() && mask_behind(self.b, y).is_none() {
            return on_bytes(self.b, x, y);
        }
        let (x, y) = (truth(self.b, DType::Bool, x), truth(self.b, DType::Bool, y));
        let m = on_masks(self.b, x, y);
        self.boolean(m)
    }

    pub(super) fn logical_and(&mut self, x: ValueId, y: ValueId) -> ValueId {
        self.logical(x, y, Builder::mand, Builder::and)
    }

    pub(super) fn logical_or(&mut self, x: ValueId, y: ValueId) -> ValueId {
        self.logical(x, y, Builder::mor, Builder::or)
    }

    pub(super) fn logical_xor(&mut self, x: ValueId, y: ValueId) -> ValueId {
        self.logical(x, y, Builder::mxor, Builder::xor)
    }

    pub(super) fn logical_not(&mut self, x: ValueId) -> ValueId {
        match mask_behind(self.b, x) {
            Some(m) => {
                let m = self.b.mnot(m);
                self.boolean(m)
            }
            None => {
                let one = self.b.int(Ty::I8, 1);
                self.b.xor(x, one)
            }
        }
    }

    pub(super) fn bitwise_and(&mut self, x: ValueId, y: ValueId) -> ValueId {
        if self.dtype == DType::Bool { self.logical_and(x, y) } else { self.b.and(x, y) }
    }

    pub(super) fn bitwise_or(&mut self, x: ValueId, y: ValueId) -> ValueId {
        if self.dtype == DType::Bool { self.logical_or(x, y) } else { self.b.or(x, y) }
    }

    pub(super) fn bitwise_xor(&mut self, x: ValueId, y: ValueId) -> ValueId {
        if self.dtype == DType::Bool { self.logical_xor(x, y) } else { self.b.xor(x, y) }
    }

    pub(super) fn invert(&mut self, x: ValueId) -> ValueId {
        if self.dtype == DType::Bool { self.logical_not(x) } else { self.b.not(x) }
    }
}
