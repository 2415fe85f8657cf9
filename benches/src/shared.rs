//! Calls while every core is busy with other calls: asking for all threads must not cost.

use crate::inputs;
use crate::stats;
use crate::subject::Subject;
use crate::workload::Workload;
use lazuli_engine::Config;
use serde::{Deserialize, Serialize};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Elements of each call.
pub(crate) const ELEMENTS: usize = 1_000_000;

/// Nanoseconds of a call of a million elements (median over rounds).
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) dtype: String,
    /// Nobody else calls: with one thread, and with all.
    pub(crate) alone_1: f64,
    pub(crate) alone_all: f64,
    /// As many callers as there are cores: each with one thread, and each with all.
    pub(crate) shared_1: f64,
    pub(crate) shared_all: f64,
    /// How many times as fast all threads are as one, where everyone calls: of each round, whose two turns follow one another,
    /// and of these the median. Earlier records have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gain: Option<f64>,
}

impl Row {
    /// How many times as fast all threads are as one, where everyone calls.
    pub(crate) fn gain(&self) -> f64 {
        self.gain.unwrap_or(self.shared_1 / self.shared_all)
    }
}

/// Measures the four by turns.
pub(crate) fn measure(workload: &Workload, dtype: &str, config: &Config, quick: bool) -> Result<Row, String> {
    let callers = config.threads;
    let subjects = (0..callers)
        .map(|_| {
            let (names, tensors) = inputs::make(workload, dtype, ELEMENTS)?;
            Subject::new(&workload.formula, names, tensors)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let one = config.clone().threads(1);
    for subject in &subjects {
        subject.call(config)?;
        subject.call(&one)?;
    }
    let (rounds, seconds) = if quick { (1, 2e-3) } else { (16, 25e-3) };
    let mut times: [Vec<f64>; 4] = Default::default();
    let modes = [(&subjects[..1], &one), (&subjects[..1], config), (&subjects[..], &one), (&subjects[..], config)];
    for n in 0..rounds {
        // One thread and all take turns in being the first of the two.
        for at in [0, 1, 2, 3].map(|at| at ^ (n & 1)) {
            let (subjects, config) = modes[at];
            times[at].push(round(subjects, config, seconds)?);
        }
    }
    let gains: Vec<f64> = times[2].iter().zip(&times[3]).map(|(one, all)| one / all).collect();
    // A thousandth is beyond what repeats.
    let gain = Some((stats::median(&gains) * 1e3).round() / 1e3);
    let [alone_1, alone_all, shared_1, shared_all] = times.map(|t| stats::median(&t).round());
    let (workload, dtype) = (workload.name.clone(), dtype.to_owned());
    Ok(Row { workload, dtype, alone_1, alone_all, shared_1, shared_all, gain })
}

/// Has each subject called from a thread of its own for a while: the mean nanoseconds of a call.
fn round(subjects: &[Subject], config: &Config, seconds: f64) -> Result<f64, String> {
    let start = Barrier::new(subjects.len());
    let caller = |subject: &Subject| -> Result<f64, String> {
        start.wait();
        let began = Instant::now();
        let end = began + Duration::from_secs_f64(seconds);
        let mut calls = 0u32;
        while calls < 2 || Instant::now() < end {
            subject.call(config)?;
            calls += 1;
        }
        Ok(began.elapsed().as_nanos() as f64 / f64::from(calls))
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = subjects.iter().map(|subject| scope.spawn(|| caller(subject))).collect();
        threads
            .into_iter()
            .map(|t| t.join().map_err(|_| "a caller panicked".to_owned())?)
            .collect::<Result<Vec<_>, _>>()
    })?;
    Ok(all.iter().sum::<f64>() / all.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_that_follow_one_another_are_compared() {
        let mut row = Row { shared_1: 3.0, shared_all: 2.0, ..Row::default() };
        assert_eq!(row.gain(), 1.5);
        row.gain = Some(1.01);
        assert_eq!(row.gain(), 1.01);
    }
}
