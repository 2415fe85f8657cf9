//! Multiplications and additions in chains that do not wait for each other: what the machine's units can do, to which loops
//! that arithmetic bounds are compared.
#![allow(unsafe_code)]

/// Chains enough to hide the latency of two units with five cycles each.
pub const CHAINS: usize = 12;

macro_rules! chains {
    ($(#[$doc:meta])* $name:ident $t:ty, $lanes:literal, $splat:ident, $fma:ident, $sum:ident) => {
        $(#[$doc])*
        pub fn $name(times: usize) -> Option<(f64, f64)> {
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            {
                #[target_feature(enable = "avx512f")]
                fn run(times: usize) -> f64 {
                    use std::arch::x86_64::{$fma, $splat, $sum};
                    let mut chains: [_; CHAINS] = std::array::from_fn(|i| $splat(i as $t));
                    let (scale, step) = ($splat(0.999), $splat(0.001));
                    for _ in 0..times {
                        for chain in &mut chains {
                            *chain = $fma(*chain, scale, step);
                        }
                    }
                    let total: $t = chains.iter().map(|&c| $sum(c)).sum();
                    total.into()
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the CPU has been asked for what the function needs.
                    return Some(((2 * $lanes * CHAINS * times) as f64, unsafe { run(times) }));
                }
            }
            let _ = times;
            None
        }
    };
}

chains! {
    /// Runs `times` rounds of [`CHAINS`] fused multiply-adds of 512-bit vectors: gives how many operations of single floats
    /// (two for each multiply-add) that were, and a value that depends on all. None where the CPU has no such vectors.
    ///
    /// ```
    /// use lazuli_runtime::peak::{chains_f64, CHAINS};
    /// if let Some((operations, value)) = chains_f64(10) {
    ///     assert_eq!(operations, (2 * 8 * CHAINS * 10) as f64);
    ///     assert!(value.is_finite());
    /// }
    /// ```
    chains_f64 f64, 8, _mm512_set1_pd, _mm512_fmadd_pd, _mm512_reduce_add_pd
}

chains! {
    /// As [`chains_f64`], of `f32`, of which vectors have twice as many.
    chains_f32 f32, 16, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_compute_what_they_say() {
        // Each chain goes from i toward 1.
        let one = |i: usize| 1.0 + (i as f64 - 1.0) * 0.999f64.powi(10);
        let expected: f64 = (0..CHAINS).map(one).sum();
        for (lanes, found, near) in [(8.0, chains_f64(10), 1e-9), (16.0, chains_f32(10), 1e-2)] {
            let Some((operations, value)) = found else { continue };
            assert_eq!(operations, 2.0 * lanes * CHAINS as f64 * 10.0);
            assert!((value - lanes * expected).abs() < near, "{value} {expected}");
        }
    }
}
