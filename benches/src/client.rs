//! The peers' processes, behind the line protocol that `benches/README.md` describes.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The first words of a greeting: what is spoken, and its version.
pub(crate) const PROTOCOL: &str = "lazuli-bench 2";

/// A running process that speaks the protocol.
pub(crate) struct Client {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    name: String,
}

/// What a process says about a contestant: its answer, or why it has no part.
pub(crate) type Answer<T> = Result<T, String>;

impl Client {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Result<Client, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot run {name}: {e}"))?;
        let (Some(to), Some(from)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(format!("{name} has no pipes"));
        };
        Ok(Client { process, to, from: BufReader::new(from), name })
    }

    fn ask(&mut self, words: &[&str]) -> Result<String, String> {
        let name = &self.name;
        let fail = |e: std::io::Error| format!("{name} does not answer: {e}");
        writeln!(self.to, "{}", words.join("\t")).and_then(|()| self.to.flush()).map_err(fail)?;
        let mut answer = String::new();
        if self.from.read_line(&mut answer).map_err(fail)? == 0 {
            return Err(format!("{name} ended at '{}'", words.join(" ")));
        }
        match answer.trim_end().strip_prefix("error ") {
            Some(text) => Err(format!("'{}': {text}", words.join(" "))),
            None => Ok(answer.trim_end().to_owned()),
        }
    }

    /// The greeting: the versions of what is installed, in the order in which to show them.
    ///
    /// # Errors
    /// The process does not speak this version of the protocol.
    pub(crate) fn hello(&mut self) -> Result<Vec<(String, String)>, String> {
        let answer = self.ask(&["hello"])?;
        let rest = answer.strip_prefix(PROTOCOL);
        let rest = rest.ok_or_else(|| format!("{} does not speak '{PROTOCOL}': '{answer}'", self.name))?;
        Ok(rest.split_whitespace().filter_map(pair).collect())
    }

    /// Has the inputs made, and written into `folder` with NumPy's result; gives the inputs' names.
    pub(crate) fn make(&mut self, toml: &Path, dtype: &str, n: usize, folder: &Path) -> Result<Vec<String>, String> {
        let (toml, n, folder) = (toml.to_string_lossy(), n.to_string(), folder.to_string_lossy());
        let answer = self.ask(&["make", &toml, dtype, &n, &folder])?;
        Ok(answer.split(' ').skip(1).map(str::to_owned).collect())
    }

    /// Has the inputs in `folder` read.
    pub(crate) fn load(&mut self, workload: &str, dtype: &str, n: usize, folder: &Path) -> Result<(), String> {
        let (n, folder) = (n.to_string(), folder.to_string_lossy());
        self.ask(&["load", workload, dtype, &n, &folder]).map(drop)
    }

    /// Has a contestant compiled, run once and checked: the nanoseconds of its first call.
    pub(crate) fn prepare(&mut self, contestant: &str) -> Result<Answer<f64>, String> {
        let answer = self.ask(&["prepare", contestant])?;
        match answer.split_once(' ') {
            Some(("ok", number)) => number.parse().map(Ok).map_err(|e| format!("'{answer}': {e}")),
            Some(("none", why)) => Ok(Err(why.to_owned())),
            _ => Err(format!("{} answers '{answer}'", self.name)),
        }
    }

    /// Has a contestant run for its turn: the nanoseconds of a call, one for each sample.
    pub(crate) fn run(&mut self, contestant: &str, seconds: f64) -> Result<Vec<f64>, String> {
        let answer = self.ask(&["run", contestant, &seconds.to_string()])?;
        numbers(&answer).ok_or_else(|| format!("{} answers '{answer}'", self.name))
    }
}

/// `name=version`.
fn pair(word: &str) -> Option<(String, String)> {
    word.split_once('=').map(|(name, version)| (name.to_owned(), version.to_owned()))
}

/// The samples of an answer.
fn numbers(answer: &str) -> Option<Vec<f64>> {
    let all: Option<Vec<f64>> = answer.strip_prefix("ns ")?.split(' ').map(|word| word.parse().ok()).collect();
    all.filter(|all| all.iter().all(|x: &f64| x.is_finite() && *x > 0.0))
}

impl Drop for Client {
    fn drop(&mut self) {
        // Whatever fails here, the process is gone or about to be.
        let _ = writeln!(self.to, "quit");
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed_whole_or_not_at_all() {
        assert_eq!(numbers("ns 1.5 2"), Some(vec![1.5, 2.0]));
        for bad in ["ns", "ns ", "ns x", "ns 1 nan", "ns 0", "ms 1", ""] {
            assert_eq!(numbers(bad), None, "{bad}");
        }
        assert_eq!(pair("numpy=2.4"), Some(("numpy".to_owned(), "2.4".to_owned())));
        assert_eq!(pair("numpy"), None);
    }
}
