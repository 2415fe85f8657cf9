//! The command `lazuli`: evaluate and explain array expressions.
//!
//! ```text
//! arguments -> args      what is asked for
//! program   -> lang      text to expressions, with errors that point at the text
//! ```

pub mod lang;
