//! Tests of Lazuli that cross its crates.
