//! Tests of Lazuli that cross its crates; here is what several of them share.

pub mod fuzz;
pub mod oracle;
