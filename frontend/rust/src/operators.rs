//! Rust's operators on arrays, references and numbers.

use crate::array::{Array, Side, operand};
use lazuli_graph::{Expr, MapOp, built_at};
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Rem, Shl, Shr, Sub};
use std::panic::Location;

/// An operation on operands that go on or are used up; the first error there is.
#[track_caller]
pub(crate) fn elementwise<const N: usize>(op: MapOp, operands: [Side<'_>; N]) -> Array {
    let at = Location::caller();
    if let Some(Err(error)) = operands.iter().find(|o| o.is_err()) {
        return Array::new(Err(error.clone()));
    }
    let operands = operands.map(|o| o.expect("errors have gone back"));
    Array::new(built_at(at, || Expr::map_of(op, operands)))
}

macro_rules! binary_operators {
    ($($trait:ident $method:ident $op:ident;)*) => {$(
        impl<T: Into<Array>> $trait<T> for &Array {
            type Output = Array;
            #[track_caller]
            fn $method(self, other: T) -> Array {
                elementwise(MapOp::$op, [self.shown(), operand(other).given()])
            }
        }

        impl<T: Into<Array>> $trait<T> for Array {
            type Output = Array;
            #[track_caller]
            fn $method(self, other: T) -> Array {
                elementwise(MapOp::$op, [self.given(), operand(other).given()])
            }
        }

        left_scalars! { $trait $method $op; f32 f64 i8 i16 i32 i64 isize u8 u16 u32 u64 usize bool }
    )*};
}

macro_rules! left_scalars {
    ($trait:ident $method:ident $op:ident; $($t:ty)*) => {$(
        impl $trait<&Array> for $t {
            type Output = Array;
            #[track_caller]
            fn $method(self, other: &Array) -> Array {
                elementwise(MapOp::$op, [operand(self).given(), other.shown()])
            }
        }

        impl $trait<Array> for $t {
            type Output = Array;
            #[track_caller]
            fn $method(self, other: Array) -> Array {
                elementwise(MapOp::$op, [operand(self).given(), other.given()])
            }
        }
    )*};
}

binary_operators! {
    Add add Add;
    Sub sub Subtract;
    Mul mul Multiply;
    Div div Divide;
    Rem rem Remainder;
    BitAnd bitand BitwiseAnd;
    BitOr bitor BitwiseOr;
    BitXor bitxor BitwiseXor;
    Shl shl LeftShift;
    Shr shr RightShift;
}

macro_rules! unary_operators {
    ($($trait:ident $method:ident $op:ident;)*) => {$(
        impl $trait for &Array {
            type Output = Array;
            #[track_caller]
            fn $method(self) -> Array {
                elementwise(MapOp::$op, [self.shown()])
            }
        }

        impl $trait for Array {
            type Output = Array;
            #[track_caller]
            fn $method(self) -> Array {
                elementwise(MapOp::$op, [self.given()])
            }
        }
    )*};
}

unary_operators! {
    Neg neg Negative;
    Not not Invert;
}
