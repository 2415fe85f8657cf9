//! `accuracy`: how far the functions are off, and what they cost.

use crate::shell::{Outcome, cargo, read, root, write};
use std::process::Stdio;

/// Measures, and writes the page unless only some functions or few arguments are looked at.
pub(crate) fn run(args: &[String]) -> Outcome {
    let (mut rest, mut partial, mut check) = (Vec::new(), false, false);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--check" => check = true,
            "--quick" => {
                partial = true;
                rest.extend(["--step", "1009"].map(str::to_owned));
            }
            "--cost" => {
                partial = true;
                rest.push(word.clone());
            }
            "--step" => rest.extend([word.clone(), words.next().ok_or("--step wants a number")?.clone()]),
            "--filter" => {
                partial = true;
                rest.extend([word.clone(), words.next().ok_or("--filter wants a name")?.clone()]);
            }
            _ => {
                return Err(
                    "usage: cargo xtask accuracy [--filter NAME] [--quick] [--step N] [--cost] [--check]".to_owned()
                );
            }
        }
    }
    let output = cargo(&["run", "--release", "--package", "lazuli-jit", "--example", "accuracy", "--"])
        .args(&rest)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cargo: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let page = root().join("docs").join("accuracy.md");
    match (partial || check, output.status.success()) {
        (_, false) => Err(format!("{text}\nan error is above its bound, or the measurement failed")),
        (true, true) if check && !partial && read(&page)? != text => {
            Err("docs/accuracy.md is stale: run cargo xtask accuracy".to_owned())
        }
        (true, true) => {
            print!("{text}");
            Ok(())
        }
        (false, true) => write(&page, &text),
    }
}
