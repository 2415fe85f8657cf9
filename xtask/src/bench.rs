//! `bench`: the benchmarks beside their peers.

use crate::python;
use crate::shell::{self, Outcome, cargo, root, target};
use std::process::Command;

const REQUIREMENTS: [&str; 2] = ["tests/oracle/requirements.txt", "benches/requirements.txt"];

/// Builds the harness in release and runs it with the environment's Python: results are compared with NumPy's before
/// they are timed, so there are no benchmarks without.
pub(crate) fn run(args: &[String]) -> Outcome {
    let python = python::environment(&REQUIREMENTS).map_err(|why| format!("the benchmarks need NumPy: {why}"))?;
    shell::run(&mut cargo(&["build", "--release", "--package", "lazuli-bench"]))?;
    let harness = target().join("release").join(format!("lazuli-bench{}", std::env::consts::EXE_SUFFIX));
    shell::run(Command::new(harness).current_dir(root()).arg("--python").arg(python).args(args))
}
