//! The kernels of Lazuli.
//!
//! ```text
//! op of the graph -> lane program            lower, math/*
//!                 -> Kernel (verified)       kernel, build, text
//!                 -> code for a Target       interp | clif
//!                 -> run over a Slab         code, launch; reduce, scan
//! ```
//! All backends run the same lane program and give the same bits. Nothing here knows of the graph's passes or threads.

mod asm;
mod build;
mod clif;
mod code;
mod flow;
mod half;
mod hypot;
mod interp;
mod kernel;
mod launch;
pub mod lower;
pub mod math;
mod precision;
mod reduce;
mod routine;
mod rows;
mod scan;
mod target;
#[cfg(test)]
mod testing;
mod text;
mod verify;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use build::Builder;
pub use code::{Backend, Code, CodeError, UnknownBackend};
pub use interp::{Interp, eval_scalar};
pub use kernel::{Class, Inst, Kernel, KernelError, Operand, Prim, PrimRow, Role, Sig, Slab, Store, Ty, ValueId};
pub use launch::{Accessed, Home, LINE, Launch, LaunchError, Layout, Memory, Part, Parts, Strides};
pub use precision::{Precision, UnknownPrecision};
pub use reduce::{Reduction, Tree};
pub use routine::Routine;
pub use rows::{
    ColumnLayout, ColumnPart, Columns, RowBinding, RowCode, RowLayout, RowMemory, RowPart, RowPlace, RowProgram,
    RowSink, RowSource, RowStage, RowWords, Rows, WholePart, WholeRows, column_local, row_local,
};
pub use scan::Scan;
pub use target::{Target, TargetError, TargetInfo};
pub use text::TextError;
