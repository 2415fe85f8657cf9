//! The kernels of Lazuli.
//!
//! ```text
//! op of the graph -> lane program            lower, math/*
//!                 -> Kernel (verified)       kernel, build, text
//!                 -> code for a Target       interp | clif
//!                 -> run over a Slab         code
//! ```
//! All backends run the same lane program and give the same bits. Nothing here knows of the graph's passes or threads.

mod build;
mod half;
mod hypot;
mod interp;
mod kernel;
mod reduce;
mod routine;
mod scan;
#[cfg(test)]
mod testing;
mod text;
mod verify;

pub use build::Builder;
pub use interp::{Interp, eval_scalar};
pub use kernel::{Class, Inst, Kernel, KernelError, Operand, Prim, PrimRow, Role, Sig, Slab, Store, Ty, ValueId};
pub use reduce::Reduction;
pub use routine::Routine;
pub use scan::Scan;
pub use text::TextError;
