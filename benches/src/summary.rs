//! What the figures of a run say about what Lazuli promises of its speed: each promise with its target.

use crate::cold;
use crate::contest::{Ours, package};
use crate::incache;
use crate::record::{Cell, Record};
use crate::stats;
use crate::workload::Bound;

/// One promise.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Claim {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) target: Target,
    pub(crate) unit: Unit,
    /// What the value is of, where it is the worst of several.
    pub(crate) of: String,
    /// What to type to see it.
    pub(crate) command: String,
}

/// What a value has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// How values are shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    Times,
    Percent,
    Milliseconds,
}

impl Unit {
    /// A value in words.
    pub(crate) fn show(self, x: f64) -> String {
        match self {
            Unit::Times => format!("{x:.2} times"),
            Unit::Percent => format!("{:.0} %", x * 100.0),
            Unit::Milliseconds => format!("{x:.2} ms"),
        }
    }
}

impl Claim {
    /// Whether the run has shown it.
    pub(crate) fn met(&self) -> bool {
        match self.target {
            Target::AtLeast(least) => self.value >= least,
            Target::AtMost(most) => self.value <= most,
        }
    }

    /// The target in words.
    pub(crate) fn goal(&self) -> String {
        match self.target {
            Target::AtLeast(x) => format!("at least {}", self.unit.show(x)),
            Target::AtMost(x) => format!("at most {}", self.unit.show(x)),
        }
    }

    /// The outcome in words.
    pub(crate) fn verdict(&self) -> &'static str {
        if self.met() { "met" } else { "NOT MET" }
    }
}

/// The promises for a size: how Lazuli is used, the mean and the least ratio to the best peer.
const SIZES: [(usize, Ours, f64, f64); 3] =
    [(LARGE, Ours::Compute, 2.5, 1.0), (100_000, Ours::Compute, 1.6, 0.9), (1000, Ours::Call, 2.0, 1.0)];

/// The elements of what is larger than the caches.
const LARGE: usize = 10_000_000;

/// The peer that needs no Python: promises are shown without it and with it.
const RUST: &str = "ndarray";

/// A ratio of a cell, and the peer that it is to.
pub(crate) struct Ratio {
    pub(crate) label: String,
    /// Of the best samples.
    pub(crate) ratio: f64,
    /// The same of the middle ones.
    pub(crate) of_medians: f64,
    pub(crate) peer: String,
}

/// How many times as fast as the best of the peers that `counts` lets in; none where there is no peer.
pub(crate) fn ratio(cell: &Cell, contestants: &[String], ours: Ours, counts: impl Fn(&str) -> bool) -> Option<Ratio> {
    let times = contestants.iter().filter(|c| counts(c)).filter_map(|c| Some((cell.best(c)?, c)));
    let (best, peer) = times.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let mine = cell.times.get(ours.name())?;
    let medians = contestants.iter().filter(|c| counts(c)).filter_map(|c| cell.times.get(c)).map(|t| t.median);
    let of_medians = medians.fold(f64::INFINITY, f64::min) / mine.median;
    Some(Ratio { label: cell.label(), ratio: best / mine.min, of_medians, peer: peer.clone() })
}

/// Everything that this run can say.
pub(crate) fn claims(record: &Record) -> Vec<Claim> {
    let mut claims = Vec::new();
    let packages: Vec<&str> = record.machine.contestants.iter().map(|c| package(c)).collect();
    let rust = packages.contains(&RUST);
    for (n, ours, mean, least) in SIZES {
        if packages.iter().any(|p| *p != RUST) {
            against_peers(record, n, ours, (mean, least), false, &mut claims);
        }
        if rust {
            against_peers(record, n, ours, (mean, least), true, &mut claims);
        }
        // The same of everyone's, with the licence that some peers take.
        if ours == Ours::Compute {
            against_peers(record, n, Ours::Fast, (mean, least), rust, &mut claims);
        }
    }
    memory(record, &mut claims);
    in_cache(record, &mut claims);
    cold_start(record, &mut claims);
    threads(record, &mut claims);
    claims
}

fn worst<T>(items: impl IntoIterator<Item = (f64, T)>) -> Option<(f64, T)> {
    items.into_iter().min_by(|a, b| a.0.total_cmp(&b.0))
}

fn against_peers(record: &Record, n: usize, ours: Ours, targets: (f64, f64), with_rust: bool, out: &mut Vec<Claim>) {
    let counts = |c: &str| with_rust || package(c) != RUST;
    let cells = record.cells.iter().filter(|c| c.n == n);
    let ratios: Vec<Ratio> = cells.filter_map(|c| ratio(c, &record.machine.contestants, ours, counts)).collect();
    let all = if with_rust { "best peer, `ndarray` in Rust too" } else { "best peer in Python" };
    let how = format!("{n} elements, `{}`, {all}", ours.name());
    let command = format!("cargo xtask bench --sizes {n}");
    let Some((least, (label, peer))) = worst(ratios.iter().map(|r| (r.ratio, (&r.label, &r.peer)))) else { return };
    let values: Vec<f64> = ratios.iter().map(|r| r.ratio).collect();
    let claim = |what: &str, value, target, of| Claim {
        what: format!("{how}: {what}"),
        value,
        target: Target::AtLeast(target),
        unit: Unit::Times,
        of,
        command: command.clone(),
    };
    let medians = stats::geometric_mean(&ratios.iter().map(|r| r.of_medians).collect::<Vec<_>>());
    let cells = format!("{} cells; of medians {medians:.2}", values.len());
    let below = values.iter().filter(|&&r| r < targets.1).count();
    out.push(claim("geometric mean", stats::geometric_mean(&values), targets.0, cells));
    out.push(claim("least", least, targets.1, format!("{label} to {peer}; {below} of {} below", values.len())));
}

/// The triad's bandwidth, measured by turns with the cell, or else in the same run.
pub(crate) fn triad(record: &Record, cell: &Cell) -> f64 {
    cell.triad.unwrap_or(record.roof.triad_all)
}

/// The share of the triad's bandwidth.
pub(crate) fn bandwidth_share(record: &Record, cell: &Cell, ours: Ours) -> Option<f64> {
    Some(cell.bytes / (cell.best(ours.name())? * 1e-9) / triad(record, cell))
}

/// The share of what moving and computing allow.
pub(crate) fn roof_share(record: &Record, cell: &Cell, ours: Ours) -> Option<f64> {
    Some(
        record.roof.seconds(&cell.dtype, cell.bytes, cell.flops, triad(record, cell))
            / (cell.best(ours.name())? * 1e-9),
    )
}

fn memory(record: &Record, out: &mut Vec<Claim>) {
    let cells = record.cells.iter().filter(|c| c.n == LARGE && c.bound == Some(Bound::Memory));
    let shares = cells.filter_map(|c| Some((bandwidth_share(record, c, Ours::Compute)?, c.label())));
    let Some((value, of)) = worst(shares) else { return };
    out.push(Claim {
        what: "memory-bound workloads, 10000000 elements: least share of the triad's bandwidth".to_owned(),
        value,
        target: Target::AtLeast(0.85),
        unit: Unit::Percent,
        of,
        command: "cargo xtask bench --peers numpy --sizes 10M".to_owned(),
    });
}

fn in_cache(record: &Record, out: &mut Vec<Claim>) {
    for row in &record.incache {
        out.push(Claim {
            what: format!(
                "polynomial of {} elements in cache, {}: share of the FMA peak",
                incache::ELEMENTS,
                row.dtype
            ),
            value: row.reached / row.peak,
            target: Target::AtLeast(0.6),
            unit: Unit::Percent,
            of: format!("{:.1} of {:.1} Gflop/s, one thread", row.reached / 1e9, row.peak / 1e9),
            command: format!("cargo xtask bench --filter {} --peers numpy --sizes 1k", incache::WORKLOAD),
        });
    }
}

fn cold_start(record: &Record, out: &mut Vec<Claim>) {
    let Some(backend) = cold::compiling().into_iter().rfind(|b| record.cold.iter().any(|c| c.first.contains_key(*b)))
    else {
        return;
    };
    let command = "cargo xtask bench --peers numpy,jax --sizes 1k".to_owned();
    let label = |c: &cold::Cold| format!("{} {}", c.workload, c.dtype);
    let slowest = record.cold.iter().filter_map(|c| Some((c.first.get(backend)?, label(c))));
    if let Some((ns, of)) = slowest.max_by(|a, b| a.0.total_cmp(b.0)) {
        out.push(Claim {
            what: format!("cold: slowest first `compute()`, compiled by `{backend}`, kernel included"),
            value: ns / 1e6,
            target: Target::AtMost(1.0),
            unit: Unit::Milliseconds,
            of,
            command: command.clone(),
        });
    }
    let ratios = record.cold.iter().filter_map(|c| Some((c.first.get("jax")? / c.first.get(backend)?, label(c))));
    if let Some((value, of)) = worst(ratios) {
        out.push(Claim {
            what: format!("cold: JAX's first call to `{backend}`'s, least"),
            value,
            target: Target::AtLeast(100.0),
            unit: Unit::Times,
            of,
            command,
        });
    }
}

fn threads(record: &Record, out: &mut Vec<Claim>) {
    if record.machine.threads < 2 {
        return;
    }
    let cells = record.cells.iter().filter(|c| c.n == LARGE && c.bound == Some(Bound::Arithmetic));
    let gains = cells.filter_map(|c| Some((c.best(Ours::CallOne.name())? / c.best(Ours::Call.name())?, c.label())));
    if let Some((value, of)) = worst(gains) {
        out.push(Claim {
            what: format!("arithmetic-bound workloads: {} threads to one, least", record.machine.threads),
            value,
            // 1.85 of two; of more, as much of each.
            target: Target::AtLeast(1.85 / 2.0 * record.machine.threads as f64),
            unit: Unit::Times,
            of,
            command: "cargo xtask bench --peers numpy --sizes 10M".to_owned(),
        });
    }
    if let Some((value, of)) = worst(record.shared.iter().map(|r| (r.gain(), format!("{} {}", r.workload, r.dtype)))) {
        out.push(Claim {
            what: "calls of a million elements from every core at once: all threads to one, least".to_owned(),
            value,
            target: Target::AtLeast(1.0),
            unit: Unit::Times,
            of,
            command: "cargo xtask bench --peers numpy --sizes 1k".to_owned(),
        });
    }
}

/// The claims as lines for a terminal.
pub(crate) fn text(claims: &[Claim]) -> String {
    let line =
        |c: &Claim| format!("{:8} {:90} {:>14} ({}) [{}]\n", c.verdict(), c.what, c.unit.show(c.value), c.goal(), c.of);
    claims.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Time;

    fn cell(workload: &str, n: usize, times: &[(&str, f64)]) -> Cell {
        let times = times.iter().map(|(name, t)| ((*name).to_owned(), Time { min: *t, median: *t })).collect();
        Cell { workload: workload.to_owned(), dtype: "float64".to_owned(), n, times, ..Cell::default() }
    }

    fn record(cells: Vec<Cell>) -> Record {
        let mut record = Record { cells, ..Record::default() };
        record.machine.contestants = ["numpy", "numba_out", "ndarray"].map(str::to_owned).to_vec();
        record.machine.threads = 2;
        record
    }

    #[test]
    fn ratios_are_to_the_best_peer() {
        let record = record(vec![
            cell("a", 100_000, &[("compute", 10.0), ("numpy", 80.0), ("numba_out", 40.0), ("ndarray", 5.0)]),
            cell("b", 100_000, &[("compute", 10.0), ("numpy", 10.0)]),
        ]);
        let claims = claims(&record);
        assert_eq!(claims.len(), 4);
        assert!((claims[0].value - 2.0).abs() < 1e-12 && claims[0].met());
        assert_eq!(claims[0].of, "2 cells; of medians 2.00");
        assert_eq!((claims[1].value, claims[1].met(), claims[1].verdict()), (1.0, true, "met"));
        assert!(claims[1].of.starts_with("b float64 to numpy"));
        assert!(!claims[2].met());
        assert_eq!((claims[3].value, claims[3].verdict()), (0.5, "NOT MET"));
        assert!(claims[3].of.starts_with("a float64 to ndarray; 1 of 2"));
    }

    #[test]
    fn what_is_computed_fast_is_shown_beside() {
        let times = [("compute", 10.0), ("fast", 4.0), ("numba_out", 8.0), ("ndarray", 6.0)];
        let claims = claims(&record(vec![cell("a", 100_000, &times)]));
        let shown: Vec<f64> = claims.iter().map(|c| c.value).collect();
        assert_eq!(claims.len(), 6);
        for (value, expected) in shown.iter().zip([0.8, 0.8, 0.6, 0.6, 1.5, 1.5]) {
            assert!((value - expected).abs() < 1e-12, "{shown:?}");
        }
        assert!(claims[5].what.contains("`fast`, best peer, `ndarray` in Rust too"), "{}", claims[5].what);
    }

    #[test]
    fn memory_is_compared_with_the_triad() {
        let mut slow = cell("a", 10_000_000, &[("compute", 10.0)]);
        (slow.bytes, slow.bound) = (240.0, Some(Bound::Memory));
        let mut other = slow.clone();
        (other.bytes, other.bound) = (1.0, Some(Bound::Arithmetic));
        let mut record = record(vec![slow, other]);
        record.roof.triad_all = 30e9;
        let least = claims(&record);
        assert_eq!(least.len(), 1);
        assert!((least[0].value - 0.8).abs() < 1e-9 && !least[0].met());
        // What was measured beside it counts, not what was measured at another time.
        record.cells[0].triad = Some(25e9);
        let least = claims(&record);
        assert!((least[0].value - 0.96).abs() < 1e-9 && least[0].met());
    }

    #[test]
    fn cold_starts_have_a_most() {
        let mut record = record(Vec::new());
        let backend = cold::compiling().pop().unwrap();
        let first = [(backend.to_owned(), 2e6), ("jax".to_owned(), 3e8)].into();
        record.cold.push(cold::Cold { workload: "a".to_owned(), dtype: "float64".to_owned(), first });
        let claims = claims(&record);
        assert_eq!((claims[0].value, claims[0].met()), (2.0, false));
        assert_eq!((claims[1].value, claims[1].met()), (150.0, true));
        assert!(text(&claims).contains("at most 1.00 ms"));
    }
}
