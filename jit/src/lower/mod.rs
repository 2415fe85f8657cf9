//! What each op of the table computes: an op and a dtype become a piece of a lane program.
//!
//! [`map`] is the one place where an elementwise op gets its meaning; [`cast`] is that of `astype`. Values come and go as
//! *loaded* lanes, of [`Ty::of`] their dtype: `bool` as an `I8` of 0 or 1, 16-bit floats as their bits in an `I16`.
//!
//! - The matches over [`MapOp`] and over dtypes have no wildcard arm: a new op does not compile until it is lowered.
//! - 16-bit floats compute in `F32` and are rounded back after each op. For `+ - * / sqrt` that is the same as rounding
//!   the exact result once: `F32` has more than twice their digits, and two.
//! - A `bool` that was just made of a mask is taken as that mask, so fused comparisons never become bytes.
//! - The numbers are NumPy's; where NumPy defines nothing, `docs/decisions/0003-casts.md` does.

#![deny(clippy::wildcard_enum_match_arm)]

mod cast;
mod contract;
mod float;
mod function;
mod int;
mod logic;
mod reduce;

pub use cast::{cast, narrow, truth, widen};
pub use contract::contract;
pub use reduce::reduce;

use crate::build::Builder;
use crate::kernel::{Ty, ValueId};
use crate::math;
use crate::precision::Precision;
use crate::routine::Routine;
use lazuli_graph::{DType, Kind, MapOp};

/// Lowers `op` on `args`, computing in `dtype`: the first of the pair that `Rule::apply` gives, and the dtype that the
/// operands are already cast to (of `where`, the two choices; the condition is a `bool`). The result is of the second
/// of the pair.
///
/// An op that has no meaning for `dtype`, or a wrong number of arguments, is a bug of the caller: debug builds panic,
/// release builds leave the faulty program to `Kernel::verify`.
///
/// ```
/// use lazuli_graph::{DType, MapOp};
/// use lazuli_jit::{Builder, Class, Precision, Role, Ty, lower};
///
/// let mut b = Builder::new();
/// let operand = b.operand(Role::Input, DType::F64, Class::Contiguous);
/// let x = b.load(operand);
/// let y = lower::map(&mut b, MapOp::Isnan, DType::F64, &[x], Precision::Standard);
/// assert_eq!(b.ty(y), Ty::I8);
/// ```
pub fn map(b: &mut Builder, op: MapOp, dtype: DType, args: &[ValueId], precision: Precision) -> ValueId {
    debug_assert_eq!(args.len(), op.row().arity as usize, "{op}");
    debug_assert!(op.row().rule.apply(dtype).is_some_and(|(d, _)| d == dtype), "{op} in {dtype}");
    // Absent arguments are never read.
    let arg = |i: usize| args.get(i).copied().unwrap_or(ValueId(0));
    let (x, y) = (arg(0), arg(1));
    let l = &mut Lower { b, dtype, precision };
    match op {
        MapOp::Negative => l.negative(x),
        MapOp::Abs => l.abs(x),
        MapOp::Sign => l.sign(x),
        MapOp::Add => l.add(x, y),
        MapOp::Subtract => l.subtract(x, y),
        MapOp::Multiply => l.multiply(x, y),
        MapOp::Divide => l.float([x, y], |b, [x, y]| b.fdiv(x, y)),
        MapOp::FloorDivide => l.floor_divide(x, y),
        MapOp::Remainder => l.remainder(x, y),
        MapOp::Pow => l.pow(x, y),
        MapOp::Square => l.multiply(x, x),
        MapOp::Reciprocal => l.reciprocal(x),
        MapOp::Minimum => l.minimum(x, y),
        MapOp::Maximum => l.maximum(x, y),
        MapOp::Fmin => l.fmin(x, y),
        MapOp::Fmax => l.fmax(x, y),
        MapOp::Copysign => l.copysign(x, y),
        MapOp::Round => l.round(x, Builder::fnearest),
        MapOp::Floor => l.round(x, Builder::ffloor),
        MapOp::Ceil => l.round(x, Builder::fceil),
        MapOp::Trunc => l.round(x, Builder::ftrunc),
        MapOp::Sqrt => l.float([x], |b, [x]| b.fsqrt(x)),
        MapOp::Hypot => l.function2(Routine::Hypot, math::hypot, x, y),
        MapOp::Exp => l.function(Routine::Exp, math::exp, x),
        MapOp::Exp2 => l.function(Routine::Exp2, math::exp2, x),
        MapOp::Expm1 => l.function(Routine::Expm1, math::expm1, x),
        MapOp::Log => l.function(Routine::Log, math::log, x),
        MapOp::Log2 => l.function(Routine::Log2, math::log2, x),
        MapOp::Log10 => l.function(Routine::Log10, math::log10, x),
        MapOp::Cbrt => l.function(Routine::Cbrt, math::cbrt, x),
        MapOp::Logaddexp => l.function2(Routine::Logaddexp, math::logaddexp, x, y),
        MapOp::Log1p => l.function(Routine::Log1p, math::log1p, x),
        MapOp::Sin => l.function(Routine::Sin, math::sin, x),
        MapOp::Cos => l.function(Routine::Cos, math::cos, x),
        MapOp::Tan => l.function(Routine::Tan, math::tan, x),
        MapOp::Asin => l.function(Routine::Asin, math::asin, x),
        MapOp::Acos => l.function(Routine::Acos, math::acos, x),
        MapOp::Atan => l.function(Routine::Atan, math::atan, x),
        MapOp::Atan2 => l.function2(Routine::Atan2, math::atan2, x, y),
        MapOp::Sinh => l.function(Routine::Sinh, math::sinh, x),
        MapOp::Cosh => l.function(Routine::Cosh, math::cosh, x),
        MapOp::Tanh => l.function(Routine::Tanh, math::tanh, x),
        MapOp::Asinh => l.function(Routine::Asinh, math::asinh, x),
        MapOp::Acosh => l.function(Routine::Acosh, math::acosh, x),
        MapOp::Atanh => l.function(Routine::Atanh, math::atanh, x),
        MapOp::Sigmoid => l.function(Routine::Sigmoid, math::sigmoid, x),
        MapOp::Erf => l.function(Routine::Erf, math::erf, x),
        MapOp::Erfc => l.function(Routine::Erfc, math::erfc, x),
        MapOp::Equal => l.equal(x, y),
        MapOp::NotEqual => l.not_equal(x, y),
        MapOp::Less => l.less(x, y),
        MapOp::LessEqual => l.less_equal(x, y),
        MapOp::Greater => l.less(y, x),
        MapOp::GreaterEqual => l.less_equal(y, x),
        MapOp::Isnan => l.isnan(x),
        MapOp::Isinf => l.isinf(x),
        MapOp::Isfinite => l.isfinite(x),
        MapOp::Signbit => l.signbit(x),
        MapOp::LogicalAnd => l.logical_and(x, y),
        MapOp::LogicalOr => l.logical_or(x, y),
        MapOp::LogicalXor => l.logical_xor(x, y),
        MapOp::LogicalNot => l.logical_not(x),
        MapOp::BitwiseAnd => l.bitwise_and(x, y),
        MapOp::BitwiseOr => l.bitwise_or(x, y),
        MapOp::BitwiseXor => l.bitwise_xor(x, y),
        MapOp::Invert => l.invert(x),
        // An amount that is negative is a large unsigned one, and the primitives give NumPy's result for those.
        MapOp::LeftShift => l.b.shl(x, y),
        MapOp::RightShift => match l.dtype.kind() {
            Kind::Signed => l.b.shr_s(x, y),
            Kind::Unsigned | Kind::Bool | Kind::Float => l.b.shr_u(x, y),
        },
        MapOp::Where => {
            let condition = truth(l.b, DType::Bool, x);
            l.b.select(condition, y, arg(2))
        }
    }
}

/// What lowering one op needs to know; the methods stand in the files beside this one, by kind of op.
struct Lower<'a> {
    b: &'a mut Builder,
    dtype: DType,
    precision: Precision,
}

impl Lower<'_> {
    /// The lane type of operands.
    fn ty(&self) -> Ty {
        Ty::of(self.dtype)
    }

    /// Whether operands are 16-bit floats, which come as their bits.
    fn is_half(&self) -> bool {
        matches!(self.dtype, DType::F16 | DType::BF16)
    }

    /// Computes in floating point: 16-bit floats are widened before and rounded after.
    fn float<const N: usize>(
        &mut self,
        args: [ValueId; N],
        compute: impl FnOnce(&mut Builder, [ValueId; N]) -> ValueId,
    ) -> ValueId {
        let args = args.map(|x| widen(self.b, self.dtype, x));
        let result = compute(self.b, args);
        narrow(self.b, self.dtype, result)
    }

    /// Asks in floating point, and gives the answer as a `bool`.
    fn float_test<const N: usize>(
        &mut self,
        args: [ValueId; N],
        test: impl FnOnce(&mut Builder, [ValueId; N]) -> ValueId,
    ) -> ValueId {
        let args = args.map(|x| widen(self.b, self.dtype, x));
        let m = test(self.b, args);
        self.boolean(m)
    }

    /// A mask as a `bool`.
    fn boolean(&mut self, m: ValueId) -> ValueId {
        self.b.mask_to_int(Ty::I8, m)
    }

    /// A `bool` that does not depend on the operands.
    fn always(&mut self, value: bool) -> ValueId {
        self.b.int(Ty::I8, value as i64)
    }
}

#[cfg(test)]
mod tests;
