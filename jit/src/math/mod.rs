//! The vector math library: elementary functions as lane programs.
//!
//! A function here appends straight-line instructions to a [`Builder`] and gives the value of its result. All backends
//! run these same instructions, and each instruction is exact in the sense of IEEE 754: so all give the same bits, and
//! there is no libm in sight. Every function
//! - takes and gives `F32` or `F64`, as its argument is; other types are a bug of the caller;
//! - is off by less than one unit in the last place, over the whole range, subnormals included;
//! - follows C99 (annex F) and NumPy at signed zeros, infinities and NaN; which NaN comes out is not specified.
//!
//! `F32` is computed in `F64` with shorter polynomials and rounded at the end, which makes nearly all results the
//! nearest, and subnormal results right without any care. The polynomials come from `coefficients.py`.

pub mod accuracy;
mod coefficients;
mod double;
mod exp;
mod hyperbolic;
mod hypot;
mod inverse_trig;
mod log;
mod poly;
mod pow;
#[cfg(test)]
mod tests;
mod trig;

pub use exp::{exp, exp2, expm1};
pub use hyperbolic::{cosh, sinh, tanh};
pub use hypot::{cbrt, hypot};
pub use inverse_trig::{acos, asin, atan, atan2};
pub use log::{log, log1p, log2, log10};
pub use pow::pow;
pub use trig::{cos, sin, tan};

use crate::{Builder, ValueId};

/// `y`, but `x` where `|x| < bound`: for odd functions that are the identity to working precision there, and whose
/// general path would lose the sign of zero or the low bits of a subnormal.
fn keep_tiny(b: &mut Builder, x: ValueId, bound: f64, y: ValueId) -> ValueId {
    keep_tiny_as(b, x, bound, x, y)
}

/// `small` where `|x| < bound`, else `y`.
fn keep_tiny_as(b: &mut Builder, x: ValueId, bound: f64, small: ValueId, y: ValueId) -> ValueId {
    let magnitude = b.fabs(x);
    let bound = poly::c(b, bound);
    let tiny = b.flt(magnitude, bound);
    b.select(tiny, small, y)
}
