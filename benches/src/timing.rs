//! Timing: samples of a call, each of as many calls as take long enough for the clock.

use std::time::{Duration, Instant};

/// How long a sample takes at least, unless a single call is longer.
const SAMPLE: Duration = Duration::from_micros(500);

/// How many calls make a sample; the call has run before.
pub(crate) fn bundle<E>(mut f: impl FnMut() -> Result<(), E>) -> Result<usize, E> {
    // The first tells how many make a good estimate.
    let mut calls = 1;
    loop {
        let start = Instant::now();
        for _ in 0..calls {
            f()?;
        }
        let taken = start.elapsed();
        if taken >= SAMPLE || calls > 1 << 20 {
            let one = taken.as_nanos().max(1) / calls as u128;
            return Ok((SAMPLE.as_nanos() / one.max(1)).clamp(1, 1 << 20) as usize);
        }
        calls *= 4;
    }
}

/// Calls over and over for `seconds`, and at least once: the nanoseconds of a call, one for each sample.
pub(crate) fn samples<E>(seconds: f64, bundle: usize, mut f: impl FnMut() -> Result<(), E>) -> Result<Vec<f64>, E> {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut all = Vec::new();
    loop {
        let start = Instant::now();
        for _ in 0..bundle {
            f()?;
        }
        all.push(start.elapsed().as_nanos() as f64 / bundle as f64);
        if Instant::now() >= end {
            return Ok(all);
        }
    }
}

/// The samples of a call that nobody takes turns with.
pub(crate) fn alone<E>(seconds: f64, mut f: impl FnMut() -> Result<(), E>) -> Result<Vec<f64>, E> {
    f()?;
    let bundle = bundle(&mut f)?;
    samples(seconds, bundle, f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_calls_are_bundled_and_faults_pass() {
        let mut calls = 0u64;
        let count = bundle(|| -> Result<(), ()> {
            calls += 1;
            Ok(())
        });
        assert!(count.unwrap() > 1 && calls > 1);
        assert_eq!(samples(0.0, 3, || Ok::<(), ()>(())).unwrap().len(), 1);
        assert_eq!(samples(0.0, 1, || Err("no")), Err("no"));
    }
}
