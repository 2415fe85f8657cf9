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
    // The exit code of a measurement that found an error above its bound; the page shows which.
    let broken = output.status.code() == Some(1);
    if !output.status.success() && !broken {
        return Err(format!("{text}\nthe measurement failed"));
    }
    let page = root().join("docs").join("accuracy.md");
    if partial {
        print!("{text}");
    } else if !check {
        write(&page, &text)?;
    } else if read(&page)? != text {
        return Err("docs/accuracy.md is stale: run cargo xtask accuracy".to_owned());
    } else {
        print!("{text}");
    }
    if broken { Err("an error is above its bound: those in bold".to_owned()) } else { Ok(()) }
}
