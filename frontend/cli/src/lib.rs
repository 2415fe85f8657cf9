//! The command `lazuli`: evaluate and explain array expressions.
//!
//! ```text
//! arguments -> args      what is asked for, checked before anything is read
//! program   -> lang      text to expressions, with errors that point at the text
//! all       -> run       files in, compute, files out
//! machine   -> info
//! ```

pub mod args;
pub mod info;
pub mod lang;
pub mod run;
