//! The expression language of the command: NumPy's spelling, Python's precedence, nothing that can do harm.
//!
//! ```text
//! text -> tokens            lex        brackets matched, newlines inside them dropped
//!      -> Program           parse      a flat arena of nodes, operands before users, each with its span
//!      -> Results           eval       numbers as Python computes them, arrays as lazuli_graph::Expr
//!                           functions  what can be called: the op table and a few more
//! ```
//! A program is data: it builds expressions and nothing else. Its size, its nesting and the number of its nodes are
//! bounded ([`MAX_SOURCE`], [`MAX_DEPTH`], [`MAX_NODES`]), so no text can exhaust the stack. All errors are
//! [`LangError`]s, which point at the text.

mod args;
pub mod ast;
mod error;
mod eval;
mod functions;
mod lex;
mod parse;
mod value;

pub use error::{LangError, Span};
pub use eval::{Env, NewArray, Outcome, eval, eval_number};
pub use functions::function_names;
pub use parse::parse;
pub use value::Value;

/// The longest program, in bytes.
pub const MAX_SOURCE: usize = 1 << 20;

/// The deepest nesting of brackets, prefix operators and powers.
pub const MAX_DEPTH: usize = 200;

/// The most nodes of a program's syntax tree.
pub const MAX_NODES: usize = 100_000;
