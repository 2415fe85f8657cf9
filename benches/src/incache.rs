//! The polynomial in the cache: the share of the machine's arithmetic that a kernel reaches.

use crate::flops;
use crate::inputs;
use crate::roofline::Roof;
use crate::stats;
use crate::subject::Subject;
use crate::timing;
use crate::workload::Workload;
use lazuli_engine::Config;
use serde::{Deserialize, Serialize};

/// The workload.
pub(crate) const WORKLOAD: &str = "poly";

/// Elements: input and output lie in a second-level cache of 512 KiB.
pub(crate) const ELEMENTS: usize = 16_384;

/// A dtype with one thread.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub(crate) struct Row {
    pub(crate) dtype: String,
    /// Operations in a second, and the peak measured right before and after.
    pub(crate) reached: f64,
    pub(crate) peak: f64,
}

/// Measures calls of a function with one thread, between two measurements of the peak.
pub(crate) fn measure(workload: &Workload, config: &Config, quick: bool) -> Result<Vec<Row>, String> {
    let seconds = if quick { 0.01 } else { 0.3 };
    let config = config.clone().threads(1);
    let mut rows = Vec::new();
    for dtype in &workload.dtypes {
        let (names, tensors) = inputs::make(workload, dtype, ELEMENTS)?;
        let subject = Subject::new(&workload.formula, names, tensors)?;
        let peak = || Roof::peak_1(dtype, seconds / 3.0);
        let before = peak()?;
        let times = timing::alone(seconds, || subject.call(&config).map(drop))?;
        let reached = flops::per_element(workload) * ELEMENTS as f64 / (stats::min(&times) * 1e-9);
        rows.push(Row { dtype: dtype.clone(), reached, peak: before.max(peak()?) });
    }
    Ok(rows)
}
