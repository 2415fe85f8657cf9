//! The runtime of Lazuli: buffers, strided tensors, threads, library kernels, file formats.
//!
//! ```text
//! pool    freed blocks, by size class        -> buffer   bytes with an owner
//! buffer + dtype + shape + strides           -> tensor   what computations take and give
//! tensor  -> format (text) | npy, npz, png (files, staged by output)
//! team, threads, cpu   what the machine has  -> matmul   library kernel over all of it
//! ```
//! Nothing here knows of graphs or of what a kernel means.

mod buffer;
mod bytes;
mod copy;
pub mod cpu;
mod element;
mod error;
mod file;
mod format;
pub mod matmul;
#[cfg(feature = "ndarray")]
mod nd;
pub mod npy;
pub mod npz;
pub mod output;
pub mod peak;
pub mod png;
pub mod pool;
mod seat;
mod team;
mod tensor;
pub mod threads;
pub mod triad;

pub use buffer::Buffer;
pub use element::Element;
pub use error::{AllocError, TensorError};
pub use file::{FormatError, Problem};
pub use half::{bf16, f16};
pub use tensor::{Layout, Scalars, Strides, Tensor};

// The macro `dispatch!` names these through `$crate`.
#[doc(hidden)]
pub use lazuli_graph::DType as __DType;
