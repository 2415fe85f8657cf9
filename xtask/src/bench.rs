//! `bench`: the benchmarks beside their peers.

use crate::python;
use crate::shell::{self, Outcome, cargo, root, target};
use std::path::PathBuf;
use std::process::Command;

const ORACLE: &str = "tests/oracle/requirements.txt";
const PEERS: &str = "benches/requirements.txt";

/// Builds the harness in release and runs it with the environment's Python: results are compared with NumPy's before
/// they are timed, so there are no benchmarks without.
pub(crate) fn run(args: &[String]) -> Outcome {
    let python = python::environment(&[ORACLE]).map_err(|why| format!("the benchmarks need NumPy: {why}"))?;
    python::each(&python, PEERS)?;
    let mut command = Command::new(harness()?);
    command.current_dir(root()).arg("run").arg("--python").arg(python).args(args);
    match ndarray() {
        Ok(program) => command.arg("--ndarray").arg(program),
        Err(why) => {
            println!("not installed: ndarray: {why}");
            &mut command
        }
    };
    shell::run(&mut command)
}

fn program(folder: PathBuf, name: &str) -> PathBuf {
    folder.join("release").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Builds the harness.
fn harness() -> Outcome<PathBuf> {
    shell::run(&mut cargo(&["build", "--release", "--package", "lazuli-bench"]))?;
    Ok(program(target(), "lazuli-bench"))
}

/// Builds the peer in Rust for this machine's CPU, as one would who writes loops by hand: in a folder of its own, for
/// the flag would have everything else built again.
fn ndarray() -> Outcome<PathBuf> {
    let folder = target().join("native");
    let mut command = cargo(&["build", "--release", "--package", "lazuli-bench-ndarray", "--target-dir"]);
    shell::run(command.arg(&folder).env("RUSTFLAGS", "-C target-cpu=native"))?;
    Ok(program(folder, "lazuli-bench-ndarray"))
}
