//! The contest: Lazuli and its peers by turns, so that the machine's noise hits all alike.

use crate::client::Client;
use crate::flops;
use crate::options::Options;
use crate::record::{Cell, Time};
use crate::roofline::Triad;
use crate::stats;
use crate::subject::{self, Subject};
use crate::timing;
use crate::workload::Workload;
use lazuli_engine::{Config, Precision};
use lazuli_runtime::threads::Threads;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Between two turns. The threads of OpenMP, which torch and numba use, spin for more work for 8 ms after a call
/// (measured), on the cores that are the next one's.
const PAUSE: Duration = Duration::from_millis(12);

/// How long everyone may run before the next one's turn, and how often.
#[derive(Clone, Copy)]
struct Turns {
    rounds: usize,
    seconds: f64,
}

/// Lazuli's contestants.
pub(crate) const OURS: [Ours; 4] = [Ours::Compute, Ours::Call, Ours::CallOne, Ours::Fast];

/// A way to use Lazuli.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ours {
    /// The expression built and computed each time.
    Compute,
    /// A `Function` called.
    Call,
    /// A `Function` called with one thread.
    CallOne,
    /// As [`Ours::Compute`], in the precision `Fast`: with the licence that peers take who contract and reorder.
    Fast,
}

impl Ours {
    /// The name in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Ours::Compute => "compute",
            Ours::Call => "call",
            Ours::CallOne => "call_1",
            Ours::Fast => "fast",
        }
    }
}

/// The peers' processes.
pub(crate) struct Peers {
    python: Client,
    ndarray: Option<Client>,
    /// Those in Python, then those in Rust.
    contestants: Vec<Peer>,
    /// What is installed.
    pub(crate) versions: Vec<(String, String)>,
}

#[derive(Clone)]
struct Peer {
    name: String,
    in_python: bool,
}

/// The package of a contestant.
pub(crate) fn package(contestant: &str) -> &str {
    contestant.split('_').next().unwrap_or(contestant)
}

impl Peers {
    /// Starts them.
    pub(crate) fn start(options: &Options, root: &Path, threads: usize) -> Result<Peers, String> {
        let count = ["--threads".to_owned(), threads.to_string()];
        let mut command = Command::new(&options.python);
        command.arg(root.join("benches").join("peers.py")).args(&count);
        let mut python = Client::start(&mut command)?;
        let ndarray = options.ndarray.as_ref().map(|program| Client::start(Command::new(program).args(&count)));
        let mut peers =
            Peers { versions: python.hello()?, python, ndarray: ndarray.transpose()?, contestants: Vec::new() };
        let mut found: Vec<(String, bool)> = vec![(peers.take_contestants()?, true)];
        if let Some(ndarray) = &mut peers.ndarray {
            let more = ndarray.hello()?;
            peers.versions.extend(more);
            found.push((peers.take_contestants()?, false));
        }
        let asked = |name: &str| options.peers.is_empty() || options.peers.iter().any(|p| p == package(name));
        for (names, in_python) in &found {
            let names = names.split(',').filter(|name| asked(name));
            peers.contestants.extend(names.map(|name| Peer { name: name.to_owned(), in_python: *in_python }));
        }
        let known = |p: &&String| !found.iter().any(|(names, _)| names.split(',').any(|name| package(name) == *p));
        match options.peers.iter().find(known) {
            Some(unknown) => Err(format!("no peer '{unknown}'; known are those of {found:?}")),
            None => Ok(peers),
        }
    }

    fn take_contestants(&mut self) -> Result<String, String> {
        let at = self.versions.iter().position(|(name, _)| name == "contestants");
        Ok(self.versions.remove(at.ok_or("a peer's process does not name its contestants")?).1)
    }

    /// The names of all.
    pub(crate) fn names(&self) -> Vec<String> {
        self.contestants.iter().map(|p| p.name.clone()).collect()
    }

    fn client(&mut self, peer: &Peer) -> Result<&mut Client, String> {
        match (&mut self.ndarray, peer.in_python) {
            (_, true) => Ok(&mut self.python),
            (Some(ndarray), false) => Ok(ndarray),
            (None, false) => Err(format!("{} has no process", peer.name)),
        }
    }

    /// Has inputs made and loaded by all, with NumPy's result; gives the inputs' names.
    pub(crate) fn load(&mut self, w: &Workload, dtype: &str, n: usize, folder: &Path) -> Result<Vec<String>, String> {
        let names = self.python.make(&w.path, dtype, n, folder)?;
        if let Some(ndarray) = &mut self.ndarray {
            ndarray.load(&w.name, dtype, n, folder)?;
        }
        Ok(names)
    }
}

/// Everyone who takes part in a cell.
enum Contestant {
    Ours(Ours, usize),
    Peer(Peer),
    /// The measure of memory's bandwidth.
    Triad,
}

/// Everything about a cell that is not a time of a round.
pub(crate) struct Prepared {
    pub(crate) cell: Cell,
    /// The nanoseconds of each peer's first call.
    pub(crate) first: BTreeMap<String, f64>,
}

/// Has everyone's result checked, then times all by turns.
pub(crate) fn cell(
    workload: &Workload,
    dtype: &str,
    n: usize,
    peers: &mut Peers,
    triad: &mut Triad,
    config: &Config,
    quick: bool,
) -> Result<Prepared, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let names = peers.load(workload, dtype, n, dir.path())?;
    let subject = Subject::read(&workload.formula, names, dir.path())?;
    let expected = subject::read(dir.path(), "expected")?;
    let (one, fast) = (config.clone().threads(1), config.clone().precision(Precision::Fast));
    let run = |ours: Ours| match ours {
        Ours::Compute => subject.compute(config),
        Ours::Call => subject.call(config),
        Ours::CallOne => subject.call(&one),
        Ours::Fast => subject.compute(&fast),
    };
    let mut cell = Cell { workload: workload.name.clone(), dtype: dtype.to_owned(), n, ..Cell::default() };
    cell.bytes = workload.reads * subject.input_bytes() as f64 + expected.nbytes() as f64;
    cell.bound = workload.bound;
    cell.flops = flops::per_element(workload) * n as f64;

    let mut all = Vec::new();
    for ours in OURS {
        subject::close(&run(ours)?, &expected).map_err(|e| format!("{}: {e}", ours.name()))?;
        all.push(Contestant::Ours(ours, timing::bundle(|| run(ours).map(drop))?));
    }
    drop(expected);
    let mut first = BTreeMap::new();
    for peer in peers.contestants.clone() {
        match peers.client(&peer)?.prepare(&peer.name)? {
            Ok(ns) => {
                first.insert(peer.name.clone(), ns);
                all.push(Contestant::Peer(peer));
            }
            Err(why) => {
                cell.none.insert(peer.name, why);
            }
        }
    }

    if Triad::compares(cell.bytes) {
        all.push(Contestant::Triad);
    }
    let turns = if quick { Turns { rounds: 2, seconds: 2e-3 } } else { Turns { rounds: 8, seconds: 25e-3 } };
    let mut samples: Vec<Vec<f64>> = vec![Vec::new(); all.len()];
    for round in 0..turns.rounds {
        for turn in 0..all.len() {
            // Everyone comes after someone else in each round.
            let at = (turn * step(all.len(), round) + round) % all.len();
            samples[at].extend(match &all[at] {
                Contestant::Ours(ours, bundle) => timing::samples(turns.seconds, *bundle, || run(*ours).map(drop))?,
                Contestant::Peer(peer) => peers.client(peer)?.run(&peer.name, turns.seconds)?,
                Contestant::Triad => {
                    // It takes longer than most, and is to have as many samples.
                    let best = triad.best(Threads::count(config.threads), 4.0 * turns.seconds)?;
                    cell.triad = Some(cell.triad.unwrap_or(0.0).max(best));
                    Vec::new()
                }
            });
            std::thread::sleep(PAUSE);
        }
    }
    for (contestant, samples) in all.iter().zip(&samples) {
        let name = match contestant {
            Contestant::Ours(ours, _) => ours.name().to_owned(),
            Contestant::Peer(peer) => peer.name.clone(),
            Contestant::Triad => continue,
        };
        cell.times.insert(name, Time { min: stats::min(samples), median: stats::median(samples) });
    }
    Ok(Prepared { cell, first })
}

/// A step through `n` places that visits each once, another one in each round as far as there are some.
fn step(n: usize, round: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let steps: Vec<usize> = (1..n.max(2)).filter(|&s| gcd(s, n) == 1).collect();
    steps[round % steps.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_visits_all() {
        for n in 1..12 {
            for round in 0..8 {
                let mut places: Vec<usize> = (0..n).map(|turn| (turn * step(n, round) + round) % n).collect();
                places.sort_unstable();
                assert_eq!(places, (0..n).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn contestants_are_of_packages() {
        assert_eq!(package("numba_out"), "numba");
        assert_eq!(package("numpy"), "numpy");
    }
}
