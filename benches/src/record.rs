//! What a run found, as it is written to `benches/results/`.

use crate::cold::Cold;
use crate::overhead::Overhead;
use crate::roofline::Roof;
use crate::workload::Bound;
use crate::{backends, incache, shared};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Nanoseconds of a call: of the best sample, and of the middle one.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq)]
#[serde(from = "(f64, f64)", into = "(f64, f64)")]
pub(crate) struct Time {
    pub(crate) min: f64,
    pub(crate) median: f64,
}

impl From<(f64, f64)> for Time {
    fn from((min, median): (f64, f64)) -> Time {
        Time { min, median }
    }
}

impl From<Time> for (f64, f64) {
    fn from(time: Time) -> (f64, f64) {
        // Tenths of a nanosecond are beyond what repeats.
        let round = |x: f64| (x * 10.0).round() / 10.0;
        (round(time.min), round(time.median))
    }
}

/// One workload at one size.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub(crate) struct Cell {
    pub(crate) workload: String,
    pub(crate) dtype: String,
    pub(crate) n: usize,
    /// Bytes that must come from memory and go there, where the arrays are larger than the caches.
    pub(crate) bytes: f64,
    /// Operations of floating point.
    pub(crate) flops: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bound: Option<Bound>,
    /// Bytes in a second of the triad, which took its turns with the contestants; only where as much is moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) triad: Option<f64>,
    /// By contestant.
    pub(crate) times: BTreeMap<String, Time>,
    /// Why a contestant has no time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) none: BTreeMap<String, String>,
}

/// Where and when, and of what.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub(crate) struct Machine {
    /// The day, UTC, `YYYY-MM-DD`.
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) os: String,
    pub(crate) threads: usize,
    pub(crate) commit: String,
    /// Whether files differed from the commit.
    pub(crate) dirty: bool,
    /// Of the peers, in the order in which to show them.
    pub(crate) versions: Vec<(String, String)>,
    /// The peers' contestants, in that order.
    pub(crate) contestants: Vec<String>,
    /// How long the run took, in seconds.
    pub(crate) seconds: f64,
}

/// Everything.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub(crate) struct Record {
    pub(crate) machine: Machine,
    pub(crate) roof: Roof,
    pub(crate) cells: Vec<Cell>,
    pub(crate) cold: Vec<Cold>,
    pub(crate) backends: Vec<backends::Row>,
    pub(crate) shared: Vec<shared::Row>,
    pub(crate) incache: Vec<incache::Row>,
    pub(crate) overheads: Vec<Overhead>,
}

impl Cell {
    /// Nanoseconds of a contestant's best sample.
    pub(crate) fn best(&self, contestant: &str) -> Option<f64> {
        self.times.get(contestant).map(|t| t.min)
    }

    /// `workload dtype`.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.workload, self.dtype)
    }
}

impl Record {
    /// The sizes that there are, the largest first.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.cells.iter().map(|c| c.n).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.dedup();
        sizes
    }

    /// Writes the record into a folder, under its date and commit; gives the path.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf, String> {
        let text = toml::to_string(self).map_err(|e| e.to_string())?;
        let dirty = if self.machine.dirty { "-dirty" } else { "" };
        let path = folder.join(format!("{}-{}{dirty}.toml", self.machine.date, self.machine.commit));
        let fail = |e: std::io::Error| format!("{}: {e}", path.display());
        std::fs::create_dir_all(folder).map_err(fail)?;
        std::fs::write(&path, text).map_err(fail)?;
        Ok(path)
    }

    /// Reads a record.
    pub(crate) fn read(path: &Path) -> Result<Record, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let time = Time { min: 1234.5, median: 2000.1 };
        let cell = Cell {
            workload: "axpy".to_owned(),
            dtype: "float64".to_owned(),
            n: 1000,
            bytes: 24e3,
            flops: 2e3,
            bound: Some(Bound::Memory),
            triad: Some(5e10),
            times: [("call".to_owned(), time)].into(),
            none: [("jax".to_owned(), "not installed".to_owned())].into(),
        };
        let mut record =
            Record { cells: vec![cell.clone(), Cell { bound: None, triad: None, n: 10, ..cell }], ..Record::default() };
        record.machine = Machine { date: "2026-01-02".to_owned(), commit: "abc".to_owned(), ..Machine::default() };
        record.machine.versions = vec![("numpy".to_owned(), "2.4".to_owned())];
        record.cold.push(Cold { first: [("clif".to_owned(), 5e5)].into(), ..Cold::default() });
        record.overheads.push(Overhead { what: "a call".to_owned(), microseconds: 0.5 });
        let dir = tempfile::tempdir().unwrap();
        let path = record.write(dir.path()).unwrap();
        assert_eq!(path.file_name().unwrap(), "2026-01-02-abc.toml");
        assert_eq!(Record::read(&path).unwrap(), record);
        assert_eq!(record.sizes(), [1000, 10]);
        record.machine.dirty = true;
        assert!(record.write(dir.path()).unwrap().ends_with("2026-01-02-abc-dirty.toml"));
    }
}
