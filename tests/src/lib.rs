//! Tests of Lazuli that cross its crates; here is what several of them share.

pub mod fuzz;
pub mod oracle;

/// The examples of the guide are tests as well.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/getting-started.md")]
    struct GettingStarted;
    #[doc = include_str!("../../docs/concepts.md")]
    struct Concepts;
    #[doc = include_str!("../../docs/errors.md")]
    struct Errors;
    #[doc = include_str!("../../docs/configuration.md")]
    struct Configuration;
}
