//! The functions that are more than a primitive: transcendental ones, powers, and the remainder of floats.

use super::{Lower, cast};
use crate::build::Builder;
use crate::kernel::{Prim, ValueId};
use crate::math;
use crate::precision::Precision;
use crate::routine::Routine;
use lazuli_graph::{DType, Kind};

/// No further argument.
const NONE: ValueId = ValueId(0);

/// A program of the math library.
type Program = fn(&mut Builder, ValueId, Precision) -> ValueId;
/// The same, of two arguments.
type Program2 = fn(&mut Builder, ValueId, ValueId, Precision) -> ValueId;

impl Lower<'_> {
    /// A function of one float: `program`, or in `Precise` the correctly rounded `routine`.
    pub(super) fn function(&mut self, routine: Routine, program: Program, x: ValueId) -> ValueId {
        let precision = self.precision;
        match precision {
            Precision::Precise => self.call([x], |b, [x]| b.inst(Prim::Call1, b.ty(x), [x, NONE, NONE], routine.imm())),
            Precision::Standard | Precision::Fast => self.float([x], |b, [x]| program(b, x, precision)),
        }
    }

    /// A function of two floats.
    pub(super) fn function2(&mut self, routine: Routine, program: Program2, x: ValueId, y: ValueId) -> ValueId {
        let precision = self.precision;
        match precision {
            Precision::Precise => {
                self.call([x, y], |b, [x, y]| b.inst(Prim::Call2, b.ty(x), [x, y, NONE], routine.imm()))
            }
            Precision::Standard | Precision::Fast => self.float([x, y], |b, [x, y]| program(b, x, y, precision)),
        }
    }

    pub(super) fn pow(&mut self, x: ValueId, y: ValueId) -> ValueId {
        match self.dtype.kind() {
            Kind::Float => self.function2(Routine::Pow, math::pow, x, y),
            Kind::Signed | Kind::Unsigned | Kind::Bool => self.int_pow(x, y),
        }
    }

    /// A call of a routine. It asks for a single rounding, so 16-bit floats go through `F64`, whose other 37 bits or more
    /// leave no result so near a tie that rounding twice would show.
    fn call<const N: usize>(
        &mut self,
        args: [ValueId; N],
        routine: impl FnOnce(&mut Builder, [ValueId; N]) -> ValueId,
    ) -> ValueId {
        if !self.is_half() {
            return routine(self.b, args);
        }
        let args = args.map(|x| cast(self.b, self.dtype, DType::F64, x));
        let result = routine(self.b, args);
        cast(self.b, DType::F64, self.dtype, result)
    }
}

/// The remainder of `x / y` with the sign of `x`, in `F32` or `F64`: exact however large the quotient.
pub(super) fn fmod(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    b.inst(Prim::Call2, b.ty(x), [x, y, NONE], Routine::Fmod.imm())
}
