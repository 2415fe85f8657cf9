//! Statistics of samples.

/// The median; NaN of nothing.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The median of the distances from the median: a spread that outliers do not move.
pub(crate) fn mad(samples: &[f64]) -> f64 {
    let middle = median(samples);
    median(&samples.iter().map(|x| (x - middle).abs()).collect::<Vec<_>>())
}

/// The least; infinite of nothing.
pub(crate) fn min(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The geometric mean; NaN of nothing.
pub(crate) fn geometric_mean(values: &[f64]) -> f64 {
    match values.len() {
        0 => f64::NAN,
        n => (values.iter().map(|x| x.ln()).sum::<f64>() / n as f64).exp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn outliers_do_not_move_the_spread() {
        assert_eq!(mad(&[1.0, 2.0, 3.0, 4.0, 1000.0]), 1.0);
        assert_eq!(mad(&[5.0, 5.0, 5.0]), 0.0);
    }

    #[test]
    fn geometric_means_are_of_ratios() {
        assert!((geometric_mean(&[0.5, 2.0]) - 1.0).abs() < 1e-15);
        assert!((geometric_mean(&[1.0, 8.0]) - 8f64.sqrt()).abs() < 1e-14);
        assert!(geometric_mean(&[]).is_nan());
    }

    #[test]
    fn least() {
        assert_eq!(min(&[2.0, 1.0, 3.0]), 1.0);
        assert_eq!(min(&[]), f64::INFINITY);
    }
}
