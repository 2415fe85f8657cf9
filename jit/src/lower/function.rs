//! The functions that are more than a primitive: transcendental ones, powers, and the remainder of floats.

use super::{Lower, cast, narrow, widen};
use crate::build::Builder;
use crate::kernel::{Prim, Ty, ValueId};
use crate::precision::Precision;
use crate::routine::Routine;
use lazuli_graph::{DType, Kind};

/// No further argument.
const NONE: ValueId = ValueId(0);

impl Lower<'_> {
    /// A function of one float.
    pub(super) fn function(&mut self, routine: Routine, x: ValueId) -> ValueId {
        self.call(Prim::Call1, routine, [x, NONE])
    }

    /// A function of two floats.
    pub(super) fn function2(&mut self, routine: Routine, x: ValueId, y: ValueId) -> ValueId {
        self.call(Prim::Call2, routine, [x, y])
    }

    pub(super) fn pow(&mut self, x: ValueId, y: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.function2(Routine::Pow, x, y),
            Kind::Signed | Kind::Unsigned | Kind::Bool => self.int_pow(x, y),
        }
    }

    /// A call of `routine`. Of a 16-bit float it is rounded in `F32`; in `Precise`, which asks for a single rounding, in
    /// `F64`, whose other 37 bits leave no result so near a tie that rounding twice would show.
    fn call(&mut self, prim: Prim, routine: Routine, args: [ValueId; 2]) -> ValueId {
        let (dtype, arity) = (self.dtype, prim.row().arity as usize);
        let wide = self.is_half() && self.precision == Precision::Precise;
        let mut args3 = [NONE; 3];
        for (to, from) in args3.iter_mut().zip(args).take(arity) {
            *to = widen(self.b, dtype, from);
            if wide {
                *to = self.b.f32_to_64(Ty::F64, *to);
            }
        }
        let ty = self.b.ty(args3[0]);
        let result = self.b.inst(prim, ty, args3, routine.imm());
        if wide { cast(self.b, DType::F64, dtype, result) } else { narrow(self.b, dtype, result) }
    }
}

/// The remainder of `x / y` with the sign of `x`, in `F32` or `F64`: exact however large the quotient.
pub(super) fn fmod(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    b.inst(Prim::Call2, b.ty(x), [x, y, NONE], Routine::Fmod.imm())
}
