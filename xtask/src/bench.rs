//! `bench`: the benchmarks beside their peers, or beside another commit.

use crate::python;
use crate::shell::{self, Outcome, capture, cargo, root, target};
use std::path::{Path, PathBuf};
use std::process::Command;

const ORACLE: &str = "tests/oracle/requirements.txt";
const PEERS: &str = "benches/requirements.txt";

/// Builds what is timed and times it.
pub(crate) fn run(args: &[String]) -> Outcome {
    match take_compare(args)? {
        Some((revision, rest)) => compare(&revision, &rest),
        None => contest(args),
    }
}

/// The revision of `--compare`, and the other arguments.
fn take_compare(args: &[String]) -> Outcome<Option<(String, Vec<String>)>> {
    let Some(at) = args.iter().position(|a| a == "--compare") else { return Ok(None) };
    let Some(revision) = args.get(at + 1).filter(|r| !r.starts_with('-')) else {
        return Err("--compare wants a revision, such as main or HEAD~3".to_owned());
    };
    Ok(Some((revision.clone(), [&args[..at], &args[at + 2..]].concat())))
}

/// Runs the harness with the environment's Python: results are compared with NumPy's before they are timed, so there
/// are no benchmarks without.
fn contest(args: &[String]) -> Outcome {
    let python = python::environment(&[ORACLE]).map_err(|why| format!("the benchmarks need NumPy: {why}"))?;
    let wanted = wanted(args);
    python::each(&python, PEERS, &wanted)?;
    let mut command = Command::new(harness(&root(), &target())?);
    command.current_dir(root()).arg("run").arg("--python").arg(python).args(args);
    if wanted.is_empty() || wanted.iter().any(|name| name == "ndarray") {
        match ndarray() {
            Ok(program) => drop(command.arg("--ndarray").arg(program)),
            Err(why) => println!("not installed: ndarray: {why}"),
        }
    }
    shell::run(&mut command)
}

/// The peers that are asked for; empty means all.
fn wanted(args: &[String]) -> Vec<String> {
    let list = args.iter().position(|a| a == "--peers").and_then(|at| args.get(at + 1));
    list.map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default()
}

fn program(folder: &Path, name: &str) -> PathBuf {
    folder.join("release").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Builds the harness of a checkout.
fn harness(checkout: &Path, folder: &Path) -> Outcome<PathBuf> {
    let mut command = cargo(&["build", "--release", "--package", "lazuli-bench", "--target-dir"]);
    shell::run(command.arg(folder).current_dir(checkout))?;
    Ok(program(folder, "lazuli-bench"))
}

/// Builds the peer in Rust for this machine's CPU, as one would who writes loops by hand: in a folder of its own, for
/// the flag would have everything else built again.
fn ndarray() -> Outcome<PathBuf> {
    let folder = target().join("native");
    let mut command = cargo(&["build", "--release", "--package", "lazuli-bench-ndarray", "--target-dir"]);
    shell::run(command.arg(&folder).env("RUSTFLAGS", "-C target-cpu=native"))?;
    Ok(program(&folder, "lazuli-bench-ndarray"))
}

/// Has this checkout's harness and that of another commit take turns; an error where this one is slower.
fn compare(revision: &str, args: &[String]) -> Outcome {
    let new = harness(&root(), &target())?;
    let old = older(revision)?;
    shell::run(Command::new(new).current_dir(root()).arg("compare").arg("--old").arg(old).args(args))
}

/// The harness of another commit, built in a worktree of its own and kept.
fn older(revision: &str) -> Outcome<PathBuf> {
    let git = |args: &[&str]| capture(Command::new("git").args(args).current_dir(root()));
    let commit = git(&["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")])
        .map_err(|_| format!("'{revision}' is no commit of this repository"))?;
    let commit = commit.trim();
    let folder = target().join("compare");
    let kept = folder.join(format!("lazuli-bench-{commit}{}", std::env::consts::EXE_SUFFIX));
    if kept.exists() {
        return Ok(kept);
    }
    let checkout = folder.join("checkout");
    let path = checkout.to_string_lossy();
    if checkout.exists() {
        git(&["worktree", "remove", "--force", &path])?;
    }
    git(&["worktree", "add", "--force", "--detach", &path, commit])?;
    let built = harness(&checkout, &folder.join("build"));
    let copied = built.and_then(|program| {
        let fail = |e: std::io::Error| format!("cannot copy {}: {e}", program.display());
        std::fs::copy(&program, &kept).map_err(fail)
    });
    git(&["worktree", "remove", "--force", &path])?;
    copied.map_err(|e| format!("the harness of {revision} does not build: {e}"))?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn compare_is_taken_out_of_the_arguments() {
        assert_eq!(take_compare(&words("--quick")), Ok(None));
        let (revision, rest) = take_compare(&words("--filter a --compare main --quick")).unwrap().unwrap();
        assert_eq!((revision.as_str(), rest), ("main", words("--filter a --quick")));
        assert!(take_compare(&words("--compare")).is_err());
        assert!(take_compare(&words("--compare --quick")).is_err());
    }

    #[test]
    fn peers_are_installed_as_asked() {
        assert_eq!(wanted(&words("--peers numpy,jax --quick")), ["numpy", "jax"]);
        assert!(wanted(&words("--quick")).is_empty());
    }
}
