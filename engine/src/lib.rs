//! The engine of Lazuli.
//!
//! ```text
//! Exprs -> fingerprint -> Pattern -> Plan (cached) compute, function
//!          Graph -> passes -> fuse -> kernels     plan, lower, kernels
//!          Plan -> buffers, tiles, threads        exec, rows, reduce, scan
//!          Plan -> text                           explain
//! ```
//! Choices come from a [`Config`]; nothing here knows what user calls look like.

mod compute;
pub mod config;
mod cost;
mod error;
mod exec;
mod explain;
mod function;
pub mod kernels;
mod lower;
pub mod plan;
mod reduce;
mod rows;
mod scan;

pub use compute::{clear_caches, compute, computed, data};
pub use config::{BackendChoice, Config};
pub use error::{Error, Result};
pub use exec::Results;
pub use explain::{Explanation, Level, explain, explain_graph, human};
pub use function::Function;
pub use lazuli_jit::{Backend, Precision, Target, TargetError};
pub use lower::evaluate;
pub use rows::{Over, Rejected, RowRun};
