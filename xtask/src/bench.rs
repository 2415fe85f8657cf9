//! `bench`: the benchmarks beside their peers.

use crate::python;
use crate::shell::{self, Outcome, cargo, root, target};
use std::process::Command;

const REQUIREMENTS: [&str; 2] = ["tests/oracle/requirements.txt", "benches/requirements.txt"];

/// Builds the harness in release and runs it with the environment's Python for the peers.
pub(crate) fn run(args: &[String]) -> Outcome {
    let python = match python::environment(&REQUIREMENTS) {
        Ok(python) => Some(python),
        Err(why) => {
            println!("skipped: the Python peers: {why}");
            None
        }
    };
    shell::run(&mut cargo(&["build", "--release", "--package", "lazuli-bench"]))?;
    let harness = target().join("release").join(format!("lazuli-bench{}", std::env::consts::EXE_SUFFIX));
    let mut command = Command::new(harness);
    command.current_dir(root()).args(args);
    if let Some(python) = python {
        command.arg("--python").arg(python);
    }
    shell::run(&mut command)
}
