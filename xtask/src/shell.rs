//! Paths, and running other programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The outcome of a command; the text is for the user.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the crate is a folder of the workspace").to_owned()
}

/// Cargo's target directory, absolute.
pub(crate) fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Cargo, at the root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// What the command would look like typed.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|w| w.to_string_lossy()).collect();
    match Path::new(&*words[0]).file_name() {
        Some(name) => std::iter::once(name.to_string_lossy()).chain(words[1..].iter().cloned()).collect::<Vec<_>>(),
        None => words,
    }
    .join(" ")
}

/// Runs a command with its output going through; an exit code other than zero is an error.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let text = shown(command);
    println!("$ {text}");
    let status = command.stdin(Stdio::null()).status().map_err(|e| format!("cannot run '{text}': {e}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("'{text}' failed: {status}")),
    }
}

/// Runs a command quietly and gives what it printed; an error carries the last line of its complaint.
pub(crate) fn capture(command: &mut Command) -> Outcome<String> {
    let text = shown(command);
    let out = command.stdin(Stdio::null()).output().map_err(|e| format!("cannot run '{text}': {e}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&out.stderr);
    let last = complaint.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("no message").to_owned();
    Err(format!("'{text}' failed: {last}"))
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

/// Writes a file, whole or not at all.
pub(crate) fn write(path: &Path, text: &str) -> Outcome {
    let fail = |e: std::io::Error| format!("cannot write {}: {e}", path.display());
    let part = path.with_extension("part");
    std::fs::write(&part, text).map_err(fail)?;
    std::fs::rename(&part, path).map_err(fail)
}

/// Refuses arguments.
pub(crate) fn no_args(command: &str, args: &[String]) -> Outcome {
    match args.first() {
        Some(arg) => Err(format!("'{command}' takes no '{arg}'; see cargo xtask --help")),
        None => Ok(()),
    }
}
