//! Two versions of Lazuli by turns: the harness of each in a process of its own.

use crate::client::Client;
use crate::inputs;
use crate::noise::{Difference, Verdict};
use crate::options::CompareOptions;
use crate::serve;
use crate::stats;
use crate::subject::Subject;
use crate::table::short;
use crate::workload::{self, Workload};
use lazuli_engine::{BackendChoice, Config};
use lazuli_runtime::{Tensor, npy};
use std::path::Path;
use std::process::Command;

/// Rounds, and the seconds of a turn.
const ROUNDS: usize = 10;
const TURN: f64 = 0.02;

struct Versions {
    old: Client,
    new: Client,
}

/// Compares; an error where something is slower than before.
pub(crate) fn compare(options: &CompareOptions) -> Result<(), String> {
    let mine = std::env::current_exe().map_err(|e| e.to_string())?;
    let start = |program: &Path| -> Result<Client, String> {
        let mut client = Client::start(Command::new(program).arg("serve"))?;
        client.hello()?;
        Ok(client)
    };
    let old = start(&options.old)
        .map_err(|e| format!("the older version has no harness that can be compared with this one: {e}"))?;
    let mut versions = Versions { old, new: start(&mine)? };
    let workloads = workload::load(&Path::new("benches").join("workloads"), &options.filter)?;
    let mut slower = Vec::new();
    println!("{:36} {:>11} {:>11} {:>7} {:>7}", "workload/dtype/n/use", "old", "new", "ratio", "noise");
    for workload in &workloads {
        let sizes = if options.sizes.is_empty() { &workload.sizes } else { &options.sizes };
        for dtype in &workload.dtypes {
            for &n in sizes {
                let place = |e: String| format!("{}/{dtype}/{n}: {e}", workload.name);
                slower.extend(cell(workload, dtype, n, &mut versions, options.quick).map_err(place)?);
            }
        }
    }
    match slower.is_empty() {
        true => {
            println!("nothing is slower beyond noise");
            Ok(())
        }
        false => Err(format!("slower beyond noise, twice: {}", slower.join(", "))),
    }
}

/// Compares one workload at one size; gives what is slower.
fn cell(w: &Workload, dtype: &str, n: usize, versions: &mut Versions, quick: bool) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    exchange(w, dtype, n, dir.path())?;
    versions.old.load(&w.name, dtype, n, dir.path()).map_err(|e| format!("old: {e}"))?;
    versions.new.load(&w.name, dtype, n, dir.path()).map_err(|e| format!("new: {e}"))?;
    let mut slower = Vec::new();
    for contestant in serve::CONTESTANTS {
        let label = format!("{}/{dtype}/{n}/{contestant}", w.name);
        for (name, client) in [("old", &mut versions.old), ("new", &mut versions.new)] {
            client.prepare(contestant)?.map_err(|why| format!("{contestant}, {name}: {why}"))?;
        }
        let (rounds, seconds) = if quick { (3, 1e-3) } else { (ROUNDS, TURN) };
        let mut found = versions.rounds(contestant, rounds, seconds)?;
        let verdict = found.0.verdict();
        if verdict != Verdict::Same {
            let again = versions.rounds(contestant, rounds, seconds)?;
            if again.0.verdict() != verdict {
                // It was noise after all; the second measurement is the one to show.
                found = again;
                found.0.noise = found.0.noise.max((found.0.ratio - 1.0).abs());
            }
        }
        let (difference, old, new) = found;
        let word = match difference.verdict() {
            Verdict::Slower => "SLOWER",
            Verdict::Same => "",
            Verdict::Faster => "faster",
        };
        let noise = difference.noise * 100.0;
        println!("{label:36} {:>11} {:>11} {:7.3} {noise:5.0} % {word}", short(old), short(new), difference.ratio);
        if difference.verdict() == Verdict::Slower {
            slower.push(label);
        }
    }
    Ok(slower)
}

impl Versions {
    /// Runs both by turns; gives the comparison and the medians.
    fn rounds(&mut self, contestant: &str, rounds: usize, seconds: f64) -> Result<(Difference, f64, f64), String> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            // Who comes first changes from round to round.
            for turn in 0..2 {
                let (client, times) =
                    if (round + turn) % 2 == 0 { (&mut self.old, &mut old) } else { (&mut self.new, &mut new) };
                times.push(stats::min(&client.run(contestant, seconds)?));
            }
        }
        Ok((Difference::of(&old, &new), stats::median(&old), stats::median(&new)))
    }
}

/// Writes what both versions read: the workload, its inputs, and what the interpreter makes of them.
fn exchange(w: &Workload, dtype: &str, n: usize, folder: &Path) -> Result<(), String> {
    let (names, tensors) = inputs::make(w, dtype, n)?;
    let write =
        |name: &str, tensor: &Tensor| npy::write(folder.join(format!("{name}.npy")), tensor).map_err(|e| e.to_string());
    for (name, tensor) in names.iter().zip(&tensors) {
        write(name, tensor)?;
    }
    let subject = Subject::new(&w.formula, names, tensors)?;
    write("expected", &subject.compute(&Config::default().backend(BackendChoice::Interp))?)?;
    std::fs::copy(&w.path, folder.join(serve::WORKLOAD)).map(drop).map_err(|e| e.to_string())
}
