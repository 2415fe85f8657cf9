//! The vector math library: elementary functions as lane programs.
//!
//! A function here appends straight-line instructions to a [`Builder`](crate::Builder) and gives the value of its
//! result. All backends run these same instructions, and each instruction is exact in the sense of IEEE 754: so all give
//! the same bits, and there is no libm in sight. Every function
//! - takes and gives `F32` or `F64`, as its argument is, and computes in that type; other types are a bug of the caller;
//! - is off by less than one unit in the last place, over the whole range, subnormals included; in `Precision::Fast` by
//!   less than four, and results below twice the least normal number may be zero (`accuracy` has the bounds);
//! - follows C99 (annex F) and NumPy at signed zeros, infinities and NaN; which NaN comes out is not specified.
//!
//! `lanes` is the notation the functions are written in. The polynomials come from `coefficients.py`.
//! `docs/decisions/0006-vector-math.md` says why things are done the way they are.

pub mod accuracy;
mod coefficients;
pub(crate) mod composed;
mod double;
mod erf;
mod exp;
mod hyperbolic;
mod hypot;
mod inverse_hyperbolic;
mod inverse_trig;
mod lanes;
mod log;
mod logistic;
mod pow;
#[cfg(test)]
mod tests;
mod trig;

pub use erf::{erf, erfc};
pub use exp::{exp, exp2, expm1};
pub use hyperbolic::{cosh, sinh, tanh};
pub use hypot::{cbrt, hypot};
pub use inverse_hyperbolic::{acosh, asinh, atanh};
pub use inverse_trig::{acos, asin, atan, atan2};
pub use log::{log, log1p, log2, log10};
pub use logistic::{logaddexp, sigmoid};
pub use pow::pow;
pub use trig::{cos, sin, tan};
