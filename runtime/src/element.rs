//! The Rust types that elements have.

use half::{bf16, f16};
use lazuli_graph::{DType, Scalar};
use std::fmt;

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that a [`DType`] stands for: `bool`, `i8` … `i64`, `u8` … `u64`, [`struct@f16`], [`bf16`], `f32`, `f64`.
///
/// Sealed, so that size, alignment and meaning of the bytes are known for every implementation.
///
/// ```
/// use lazuli_graph::{DType, Scalar};
/// use lazuli_runtime::Element;
/// assert_eq!(<f32 as Element>::DTYPE, DType::F32);
/// assert_eq!(i16::from_scalar(Scalar::from_i64(DType::I16, -3)), -3);
/// assert_eq!((-3i16).to_scalar(), Scalar::from_i64(DType::I16, -3));
/// ```
pub trait Element: sealed::Sealed + Copy + PartialEq + fmt::Debug + Default + Send + Sync + 'static {
    /// The dtype that holds this type.
    const DTYPE: DType;

    /// The value with its dtype.
    fn to_scalar(self) -> Scalar;

    /// The value of a scalar, cast to this type where the scalar has another dtype.
    fn from_scalar(scalar: Scalar) -> Self;
}

macro_rules! elements {
    ($($t:ty, $dtype:ident, |$x:ident| $bits:expr, |$b:ident| $value:expr;)*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
            fn to_scalar(self) -> Scalar {
                let $x = self;
                Scalar::from_bits(DType::$dtype, $bits)
            }
            fn from_scalar(scalar: Scalar) -> Self {
                let $b = scalar.cast(DType::$dtype).bits();
                $value
            }
        }
        // The tables of this crate take an element's size and alignment from its dtype.
        const _: () = assert!(size_of::<$t>() == DType::$dtype.size() && align_of::<$t>() <= DType::$dtype.size());
    )*};
}

elements! {
    bool, Bool, |x| x as u64, |b| b != 0;
    i8, I8, |x| x as u64, |b| b as i8;
    i16, I16, |x| x as u64, |b| b as i16;
    i32, I32, |x| x as u64, |b| b as i32;
    i64, I64, |x| x as u64, |b| b as i64;
    u8, U8, |x| x as u64, |b| b as u8;
    u16, U16, |x| x as u64, |b| b as u16;
    u32, U32, |x| x as u64, |b| b as u32;
    u64, U64, |x| x, |b| b;
    f16, F16, |x| x.to_bits() as u64, |b| f16::from_bits(b as u16);
    bf16, BF16, |x| x.to_bits() as u64, |b| bf16::from_bits(b as u16);
    f32, F32, |x| x.to_bits() as u64, |b| f32::from_bits(b as u32);
    f64, F64, |x| x.to_bits(), |b| f64::from_bits(b);
}

/// Evaluates an expression with a type name bound to the Rust type of a [`DType`].
///
/// ```
/// use lazuli_graph::DType;
/// use lazuli_runtime::dispatch;
/// let bytes = dispatch!(DType::F16, T => size_of::<T>());
/// assert_eq!(bytes, 2);
/// ```
#[macro_export]
macro_rules! dispatch {
    ($dtype:expr, $t:ident => $body:expr) => {
        $crate::dispatch!(@ $dtype, $t, $body,
            Bool bool, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64,
            F16 $crate::f16, BF16 $crate::bf16, F32 f32, F64 f64)
    };
    (@ $dtype:expr, $t:ident, $body:expr, $($variant:ident $ty:ty),*) => {
        match $dtype {
            $($crate::__DType::$variant => {
                #[allow(dead_code)]
                type $t = $ty;
                $body
            })*
        }
    };
}
