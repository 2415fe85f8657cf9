//! Cold figures: the first `compute()` of an expression in a process that is warm.

use crate::contest::OURS;
use crate::inputs;
use crate::stats;
use crate::subject::Subject;
use crate::workload::Workload;
use lazuli_engine::{BackendChoice, Config, clear_caches};
use lazuli_jit::Backend;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Instant;

/// Elements: so few that running the kernel takes next to nothing, beside planning and compiling.
pub(crate) const ELEMENTS: usize = 1000;

/// One workload.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub(crate) struct Cold {
    pub(crate) workload: String,
    pub(crate) dtype: String,
    /// Nanoseconds of the first call (median of several), kernel included: of Lazuli's backends and of the peers.
    pub(crate) first: BTreeMap<String, f64>,
}

/// The backends that there are, by the names that a configuration takes.
pub(crate) fn backends() -> Vec<(&'static str, BackendChoice)> {
    Backend::ALL.iter().filter_map(|b| Some((b.name(), b.name().parse().ok()?))).collect()
}

/// The backends that compile, and so may wait for it.
pub(crate) fn compiling() -> Vec<&'static str> {
    backends().into_iter().map(|(name, _)| name).filter(|&name| name != Backend::Interp.name()).collect()
}

/// Measures Lazuli's backends, beside what the peers' first calls took.
pub(crate) fn measure(
    workload: &Workload,
    dtype: &str,
    peers: BTreeMap<String, f64>,
    config: &Config,
    quick: bool,
) -> Result<Cold, String> {
    let mut first = peers;
    // Nothing that is precompiled or that is Lazuli's own has a first call worth showing.
    first.retain(|name, ns| *ns > 0.0 && !OURS.iter().any(|o| o.name() == name));
    let (names, tensors) = inputs::make(workload, dtype, ELEMENTS)?;
    let subject = Subject::new(&workload.formula, names, tensors)?;
    for (name, choice) in backends() {
        let config = config.clone().backend(choice);
        let mut times = Vec::new();
        for _ in 0..if quick { 3 } else { 25 } {
            clear_caches();
            let start = Instant::now();
            let result = subject.compute(&config)?;
            times.push(start.elapsed().as_nanos() as f64);
            drop(result);
        }
        first.insert(name.to_owned(), stats::median(&times).round());
    }
    Ok(Cold { workload: workload.name.clone(), dtype: dtype.to_owned(), first })
}
