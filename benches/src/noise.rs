//! The model of noise by which two versions are told apart.
//!
//! Each round gives every version one figure, the best sample of its turn. A version is its median over rounds; its
//! spread is 1.4826 MAD (the standard deviation, were it normal) of the median's. Two versions differ where the ratio
//! of their medians is further from 1 than 5 % and than three times the spread of the ratio. What differs is measured
//! once more, and counts if it differs again in the same direction.

use crate::stats::{mad, median};

/// Differences below this are not worth a failure, whatever the spread.
const LEAST: f64 = 0.05;
/// Spreads that a difference has to be beyond.
const SPREADS: f64 = 3.0;

/// A comparison of two versions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    /// The new median to the old: above 1 is slower.
    pub(crate) ratio: f64,
    /// How far from 1 noise may bring the ratio.
    pub(crate) noise: f64,
}

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Slower,
    Same,
    Faster,
}

impl Difference {
    /// Compares the figures of rounds.
    pub(crate) fn of(old: &[f64], new: &[f64]) -> Difference {
        let relative = |rounds: &[f64]| 1.4826 * mad(rounds) / median(rounds);
        let spread = relative(old).hypot(relative(new));
        Difference { ratio: median(new) / median(old), noise: LEAST.max(SPREADS * spread) }
    }

    /// What it says by itself.
    pub(crate) fn verdict(&self) -> Verdict {
        match () {
            () if self.ratio > 1.0 + self.noise => Verdict::Slower,
            () if self.ratio < 1.0 / (1.0 + self.noise) => Verdict::Faster,
            () => Verdict::Same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(center: f64, spread: f64) -> Vec<f64> {
        [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0].map(|x| center * (1.0 + spread * x)).to_vec()
    }

    #[test]
    fn small_differences_are_none() {
        let difference = Difference::of(&around(100.0, 0.0), &around(104.0, 0.0));
        assert_eq!((difference.noise, difference.verdict()), (0.05, Verdict::Same));
    }

    #[test]
    fn steady_differences_count_both_ways() {
        assert_eq!(Difference::of(&around(100.0, 0.001), &around(107.0, 0.001)).verdict(), Verdict::Slower);
        assert_eq!(Difference::of(&around(107.0, 0.001), &around(100.0, 0.001)).verdict(), Verdict::Faster);
    }

    #[test]
    fn noise_hides_what_is_within_it() {
        let difference = Difference::of(&around(100.0, 0.1), &around(120.0, 0.1));
        assert!(difference.noise > 0.3, "{difference:?}");
        assert_eq!(difference.verdict(), Verdict::Same);
        assert_eq!(Difference::of(&around(100.0, 0.1), &around(200.0, 0.1)).verdict(), Verdict::Slower);
    }

    #[test]
    fn one_outlier_changes_nothing() {
        let mut old = around(100.0, 0.001);
        old[6] = 1000.0;
        assert_eq!(Difference::of(&old, &around(107.0, 0.001)).verdict(), Verdict::Slower);
    }
}
