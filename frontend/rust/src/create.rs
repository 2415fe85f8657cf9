//! Making arrays.

use crate::array::Array;
use lazuli_graph::{DType, Error, Expr, Scalar, Shape, built_at};
use std::panic::Location;

/// Checks a shape and makes an expression of it.
#[track_caller]
fn shaped(name: &'static str, shape: &[usize], f: impl FnOnce(Shape) -> Expr) -> Array {
    let at = Location::caller();
    Array::new(built_at(at, || Shape::new(shape).map(f)).map_err(|e| Error::new(e, name, at)))
}

/// A number for [`Array::full`] and [`Array::arange_step`]: a Rust number or a [`Scalar`].
///
/// ```
/// use lazuli::{Scalar, prelude::*};
/// assert_eq!(Array::full([1], Scalar::from_f64(f16, 0.5)).dtype()?, f16);
/// # Ok::<(), lazuli::Error>(())
/// ```
pub trait Number {
    /// The value with its dtype.
    fn scalar(self) -> Scalar;
}

impl Number for Scalar {
    fn scalar(self) -> Scalar {
        self
    }
}

macro_rules! numbers {
    ($($t:ty => $dtype:ident, $make:ident, $via:ty;)*) => {$(
        impl Number for $t {
            fn scalar(self) -> Scalar {
                Scalar::$make(DType::$dtype, self as $via)
            }
        }
    )*};
}

numbers! {
    bool => Bool, from_i64, i64;
    i8 => I8, from_i64, i64;
    i16 => I16, from_i64, i64;
    i32 => I32, from_i64, i64;
    i64 => I64, from_i64, i64;
    u8 => U8, from_i64, i64;
    u16 => U16, from_i64, i64;
    u32 => U32, from_i64, i64;
    u64 => U64, from_u64, u64;
    f32 => F32, from_f64, f64;
    f64 => F64, from_f64, f64;
}

/// Creation. None of these takes memory: values are made where they are used.
impl Array {
    /// Zeros.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::zeros([2], i32).to_vec::<i32>()?, [0, 0]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn zeros(shape: impl AsRef<[usize]>, dtype: DType) -> Array {
        shaped("zeros", shape.as_ref(), |s| Expr::zeros(dtype, s))
    }

    /// Ones.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::ones([2], f64).to_vec::<f64>()?, [1.0, 1.0]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn ones(shape: impl AsRef<[usize]>, dtype: DType) -> Array {
        shaped("ones", shape.as_ref(), |s| Expr::ones(dtype, s))
    }

    /// One value everywhere; the dtype is the value's.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::full([2], 7u8).to_vec::<u8>()?, [7, 7]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn full(shape: impl AsRef<[usize]>, value: impl Number) -> Array {
        let value = value.scalar();
        shaped("full", shape.as_ref(), |s| Expr::full(value, s))
    }

    /// The integers below `n`, as `int64`.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::arange(3).to_vec::<i64>()?, [0, 1, 2]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn arange(n: i64) -> Array {
        Array::arange_step(0i64, n, 1i64)
    }

    /// `start`, `start + step`, … before `stop`, in the dtype the three promote to.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::arange_step(0.0, 1.0, 0.25).to_vec::<f64>()?, [0.0, 0.25, 0.5, 0.75]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn arange_step(start: impl Number, stop: impl Number, step: impl Number) -> Array {
        Array::new(Expr::arange(start.scalar(), stop.scalar(), step.scalar(), None))
    }

    /// `num` numbers from `start` to `stop`, both included, in even steps.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::linspace(0.0, 1.0, 3).to_vec::<f64>()?, [0.0, 0.5, 1.0]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn linspace(start: f64, stop: f64, num: usize) -> Array {
        Array::new(Expr::linspace(start, stop, num, true))
    }

    /// The `n` by `n` identity matrix.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::eye(2, f64).to_vec::<f64>()?, [1.0, 0.0, 0.0, 1.0]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn eye(n: usize, dtype: DType) -> Array {
        Array::new(Expr::eye(n, n, 0, dtype))
    }

    /// An `n` by `m` matrix with ones on diagonal `k`.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::eye_at(2, 3, 1, i8).to_vec::<i8>()?, [0, 1, 0, 0, 0, 1]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn eye_at(n: usize, m: usize, k: i64, dtype: DType) -> Array {
        Array::new(Expr::eye(n, m, k, dtype))
    }

    /// The position of each element in C order, as `int64`.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::iota([2, 2]).to_vec::<i64>()?, [0, 1, 2, 3]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn iota(shape: impl AsRef<[usize]>) -> Array {
        shaped("iota", shape.as_ref(), Expr::iota)
    }
}
