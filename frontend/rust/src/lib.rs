//! Lazy n-dimensional arrays with NumPy's semantics, fused and compiled to vector code.
//!
//! ```
//! use lazuli::prelude::*;
//!
//! # fn main() -> lazuli::Result<()> {
//! let x = Array::linspace(0.0, 1.0, 1001);         // nothing runs
//! let y = (&x * 2.0 + 1.0).sin().exp();            // still nothing
//! let t = y.compute()?;                            // one fused kernel, all cores
//! assert_eq!(t.shape().to_vec(), [1001]);
//! let [low, high] = compute_all([y.min(All), y.max(All)])?;
//! assert!(low.item()?.as_f64() < high.item()?.as_f64());
//! # Ok(())
//! # }
//! ```
//!
//! - An [`Array`] is an expression; [`Array::compute`] gives a [`Tensor`].
//! - Methods have NumPy's names. Those of the op table are listed at [`Array`] under "Elementwise".
//! - A faulty operation makes an array that remembers its error, with the caller's line; `compute`, `shape` and
//!   `dtype` return it. Nothing panics.
//! - [`Config`] chooses precision, threads, backend and limits: globally, for a scope, for a call.

mod array;
mod axes;
mod compose;
mod create;
mod function;
pub mod io;
mod methods;
mod operators;
mod slice;

pub use array::{Array, Nested, compute_all, compute_all_with};
pub use axes::{All, Axes, Axis, Over};
pub use create::Number;
pub use function::{Argument, Arguments, Function, Outputs};
pub use lazuli_engine::{
    Backend, BackendChoice, Config, Error, Explanation, Level, Precision, Result, Target, TargetError, config, human,
    kernels,
};
pub use lazuli_graph as graph;
pub use lazuli_graph::{DType, Index, MapOp, ReduceOp, Scalar, ScanOp, Shape, ops};
pub use lazuli_runtime as runtime;
pub use lazuli_runtime::{Element, Tensor, bf16 as Bf16, f16 as F16};

/// The dtypes by NumPy's short names, for [`Array::astype`] and the like.
///
/// ```
/// use lazuli::prelude::*;
/// assert_eq!(Array::from([1.5, 2.5]).astype(i32).dtype()?, DType::I32);
/// # Ok::<(), lazuli::Error>(())
/// ```
#[allow(non_upper_case_globals, missing_docs)]
pub mod dtypes {
    use lazuli_graph::DType;
    pub const bool: DType = DType::Bool;
    pub const i8: DType = DType::I8;
    pub const i16: DType = DType::I16;
    pub const i32: DType = DType::I32;
    pub const i64: DType = DType::I64;
    pub const u8: DType = DType::U8;
    pub const u16: DType = DType::U16;
    pub const u32: DType = DType::U32;
    pub const u64: DType = DType::U64;
    pub const f16: DType = DType::F16;
    pub const bf16: DType = DType::BF16;
    pub const f32: DType = DType::F32;
    pub const f64: DType = DType::F64;
}

/// What a program that uses Lazuli wants in scope.
pub mod prelude {
    pub use crate::dtypes::*;
    pub use crate::{
        All, Array, Axes, Axis, BackendChoice, Config, DType, Function, Index, Precision, Shape, Tensor, compute_all,
        s, where_,
    };
}

pub use methods::where_;
