//! Lazuli's backends and targets beside each other.

use crate::cold;
use crate::inputs;
use crate::record::Time;
use crate::stats;
use crate::subject::{self, Subject};
use crate::timing;
use crate::workload::Workload;
use lazuli_engine::{Config, Target};
use lazuli_jit::Backend;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Elements: in the caches, where backends differ most.
pub(crate) const ELEMENTS: usize = 100_000;

/// One workload: `backend target threads` to its time.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) dtype: String,
    pub(crate) times: BTreeMap<String, Time>,
    /// Why one has no time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) none: BTreeMap<String, String>,
}

/// Every way that code can be made on this machine: its name, and the configuration that forces it.
pub(crate) fn ways(config: &Config) -> Vec<(String, Config)> {
    let mut ways = Vec::new();
    for (name, choice) in cold::backends() {
        let forced = config.clone().backend(choice);
        if name == Backend::Interp.name() {
            ways.push((name.to_owned(), forced));
            continue;
        }
        let targets = Target::available().into_iter().filter(|t| t.supported() && t.name != Backend::Interp.name());
        for target in targets {
            let Ok(config) = forced.clone().target_named(target.name) else { continue };
            // Where vectors are narrow, `wide` is `clif`.
            if name != Backend::Wide.name() || config.target.vector_bits() > 128 {
                ways.push((format!("{name} {}", target.name), config));
            }
        }
    }
    ways
}

/// Times every way by turns, with one thread and with all.
pub(crate) fn measure(workload: &Workload, dtype: &str, config: &Config, quick: bool) -> Result<Row, String> {
    let (names, tensors) = inputs::make(workload, dtype, ELEMENTS)?;
    let subject = Subject::new(&workload.formula, names, tensors)?;
    let expected = subject.compute(config)?;
    let mut row = Row { workload: workload.name.clone(), dtype: dtype.to_owned(), ..Row::default() };
    let mut all = Vec::new();
    for (name, forced) in ways(config) {
        for threads in if config.threads == 1 { vec![1] } else { vec![1, config.threads] } {
            let (name, forced) = (format!("{name} {threads}"), forced.clone().threads(threads));
            let checked = subject.call(&forced).and_then(|got| subject::close(&got, &expected));
            match checked.and_then(|()| timing::bundle(|| subject.call(&forced).map(drop))) {
                Ok(bundle) => all.push((name, forced, bundle, Vec::new())),
                Err(why) => drop(row.none.insert(name, why)),
            }
        }
    }
    let (rounds, seconds) = if quick { (1, 1e-3) } else { (4, 8e-3) };
    for _ in 0..rounds {
        for (_, forced, bundle, samples) in &mut all {
            samples.extend(timing::samples(seconds, *bundle, || subject.call(forced).map(drop))?);
        }
    }
    for (name, _, _, samples) in all {
        row.times.insert(name, Time { min: stats::min(&samples), median: stats::median(&samples) });
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_has_a_way() {
        let ways = ways(&Config::default());
        for backend in Backend::ALL {
            assert!(ways.iter().any(|(name, _)| name.split(' ').next() == Some(backend.name())), "{backend}");
        }
    }
}
