//! `test` and `bless`.

use crate::shell::{Outcome, cargo, no_args, read, root, run, target, write};
use crate::{ops, python};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;

/// What the oracle is made by.
const REQUIREMENTS: &str = "tests/oracle/requirements.txt";
const GENERATOR: &str = "tests/oracle/generate.py";

/// Every test: the oracle where there is Python, then the tests with all features, then the build without.
pub(crate) fn test(args: &[String]) -> Outcome {
    let oracle = match oracle()? {
        Ok(dir) => Some(dir),
        Err(why) => {
            println!("skipped: comparison with NumPy: {why}");
            None
        }
    };
    let mut command = cargo(&["test"]);
    let whole = args.is_empty();
    match whole {
        true => command.args(["--workspace", "--all-features", "--no-fail-fast"]),
        false => command.args(args),
    };
    match &oracle {
        Some(dir) => command.env("LAZULI_ORACLE", dir),
        None => command.env_remove("LAZULI_ORACLE"),
    };
    run(&mut command)?;
    if whole {
        run(&mut cargo(&["check", "--workspace"]))?;
    }
    match oracle {
        Some(_) => println!("all tests passed, with NumPy as oracle"),
        None => println!("all tests passed; skipped: comparison with NumPy (the reason stands at the top)"),
    }
    Ok(())
}

/// Only writes the oracle; here its absence is an error.
pub(crate) fn oracle_only(args: &[String]) -> Outcome {
    no_args("oracle", args)?;
    oracle()?.map(|dir| println!("NumPy's results are in {}", dir.display()))
}

/// Rewrites the expectations of text tests.
pub(crate) fn bless(args: &[String]) -> Outcome {
    let mut command = cargo(&["test"]);
    match args.is_empty() {
        true => command.args(["--workspace", "--all-features", "--tests"]),
        false => command.args(args),
    };
    run(command.env("BLESS", "1"))?;
    crate::docs::run(&[])
}

/// Writes inputs and NumPy's results into `target/oracle`, unless what is there is of the same generator and op table.
/// The inner error says why this machine cannot; a generator that fails is our fault, and the outer error.
fn oracle() -> Outcome<Outcome<PathBuf>> {
    let dir = target().join("oracle");
    let table = ops::json();
    let mut hasher = DefaultHasher::new();
    (&table, read(&root().join(GENERATOR))?, read(&root().join(REQUIREMENTS))?).hash(&mut hasher);
    let key = format!("{:016x}\n", hasher.finish());
    let stamp = dir.join("stamp");
    if read(&stamp).is_ok_and(|had| had == key) {
        return Ok(Ok(dir));
    }
    let python = match python::environment(&[REQUIREMENTS]) {
        Ok(python) => python,
        Err(why) => return Ok(Err(why)),
    };
    std::fs::create_dir_all(&dir).map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
    // Without the stamp nobody takes what a run leaves half done.
    if stamp.exists() {
        std::fs::remove_file(&stamp).map_err(|e| format!("cannot remove {}: {e}", stamp.display()))?;
    }
    let file = dir.join("ops.json");
    write(&file, &table)?;
    run(Command::new(python).arg(root().join(GENERATOR)).arg("--ops").arg(&file).arg("--out").arg(&dir))?;
    write(&stamp, &key)?;
    Ok(Ok(dir))
}
