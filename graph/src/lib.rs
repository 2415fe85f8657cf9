//! The array graph of Lazuli.
//!
//! ```text
//! user call -> Expr (immutable node, typed, shaped)        expr
//!           -> Capture -> Graph (petgraph DAG)             graph
//!           -> passes, each followed by the verifier       passes, verify
//!           -> text form, both ways                        text
//! ```
//! Facts about operations stand in one table, [`ops`]. Nothing here knows of machine code, buffers or threads.

mod compose;
mod dtype;
mod error;
mod expr;
mod fuse;
mod graph;
mod op;
pub mod ops;
pub mod passes;
mod pattern;
mod scalar;
mod shape;
mod text;
mod verify;
mod view;

pub use dtype::{DType, Kind, UnknownDType, Weak};
pub use error::{Error, ErrorKind, OperandNote};
pub use expr::{Expr, Operand, Operands, Value, built_at};
pub use fuse::{FuseOptions, Fusion, Group, GroupKind, Home, MAX_WEIGHT, UNROLL, fuse, terms};
pub use graph::{Capture, Graph, Node, NodeId};
pub use op::Op;
pub use ops::{MapOp, ReduceOp, ScanOp};
pub use pattern::{Leaves, Pattern};
pub use scalar::Scalar;
pub use shape::{Axes, MAX_RANK, Shape, ShapeError};
pub use text::ParseError;
pub use verify::{VerifyError, VerifyErrors, verify};
pub use view::{AxisMap, Index, IndexError, View};
