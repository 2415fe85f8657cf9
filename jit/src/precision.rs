//! How exact the arithmetic is: the user's choice, not the machine's.

use std::fmt;
use std::str::FromStr;

/// The contract that a computation keeps.
///
/// | | `Precise` | `Standard` (default) | `Fast` |
/// |---|---|---|---|
/// | `+ - * / sqrt fma` | IEEE 754, no contraction | IEEE 754, no contraction | contraction, reciprocal, reassociation allowed |
/// | functions | correctly rounded | at most 1 ULP | at most 4 ULP |
/// | sums | correctly rounded | blocked pairwise, fixed order | any order |
/// | bits across CPUs, backends, threads | same | same | may differ |
/// | NaN, infinity, signed zero, subnormals | IEEE 754 | IEEE 754 | NaN and infinity still right; subnormals may flush |
///
/// ```
/// use lazuli_jit::Precision;
/// assert_eq!("fast".parse::<Precision>().unwrap(), Precision::Fast);
/// assert_eq!(Precision::default().to_string(), "standard");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Precision {
    /// Functions and sums are correctly rounded.
    Precise,
    /// Functions are within 1 ULP, sums are pairwise in a fixed order; the same bits everywhere.
    #[default]
    Standard,
    /// Functions are within 4 ULP, and arithmetic may be contracted and reordered.
    Fast,
}

impl Precision {
    /// Every precision, the strictest first.
    pub const ALL: [Precision; 3] = [Precision::Precise, Precision::Standard, Precision::Fast];

    /// The name: `precise`, `standard` or `fast`.
    pub const fn name(self) -> &'static str {
        match self {
            Precision::Precise => "precise",
            Precision::Standard => "standard",
            Precision::Fast => "fast",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is not a precision's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown precision '{0}'; known are precise, standard, fast")]
pub struct UnknownPrecision(pub String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Precision::ALL.into_iter().find(|p| p.name() == s).ok_or_else(|| UnknownPrecision(s.to_owned()))
    }
}
