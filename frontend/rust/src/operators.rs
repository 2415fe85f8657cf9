//! Rust's operators on arrays, references and numbers.

use crate::array::{Array, operand};
use lazuli_graph::{Expr, MapOp};
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Rem, Shl, Shr, Sub};

#[track_caller]
fn binary(op: MapOp, a: &Array, b: &Array) -> Array {
    a.with2(b, |a, b| Expr::map(op, &[a, b]))
}

macro_rules! binary_operators {
    ($($trait:ident $method:ident $op:ident;)*) => {$(
        impl<T: Into<Array>> $trait<T> for &Array {
            type Output = Array;
            #[track_caller]
            fn $method(self, other: T) -> Array {
                binary(MapOp::$op, self, &operand(other))
            }
        }

        impl<T: Into<Array>> $trait<T> for Array {
            type Output = Array;
            #[track_caller]
            fn $method(self, other: T) -> Array {
                binary(MapOp::$op, &self, &operand(other))
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
                binary(MapOp::$op, &operand(self), other)
            }
        }

        impl $trait<Array> for $t {
            type Output = Array;
            #[track_caller]
            fn $method(self, other: Array) -> Array {
                binary(MapOp::$op, &operand(self), &other)
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
                self.with(|a| Expr::map(MapOp::$op, std::slice::from_ref(a)))
            }
        }

        impl $trait for Array {
            type Output = Array;
            #[track_caller]
            fn $method(self) -> Array {
                $trait::$method(&self)
            }
        }
    )*};
}

unary_operators! {
    Neg neg Negative;
    Not not Invert;
}
