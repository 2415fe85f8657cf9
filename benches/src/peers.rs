//! The peers: `benches/peers.py` in a process of its own, behind a line protocol.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The running process.
pub(crate) struct Peers {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peers {
    /// Starts it.
    pub(crate) fn start(python: &str, root: &Path, threads: usize) -> Result<Peers, String> {
        let mut process = Command::new(python)
            .arg(root.join("benches").join("peers.py"))
            .arg(root.join("benches").join("workloads"))
            .args(["--threads", &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot run {python}: {e}"))?;
        let (Some(to), Some(from)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the peers' process has no pipes".to_owned());
        };
        Ok(Peers { process, to, from: BufReader::new(from) })
    }

    fn ask(&mut self, line: &str) -> Result<String, String> {
        let fail = |e: std::io::Error| format!("the peers' process does not answer: {e}");
        writeln!(self.to, "{line}").and_then(|()| self.to.flush()).map_err(fail)?;
        let mut answer = String::new();
        if self.from.read_line(&mut answer).map_err(fail)? == 0 {
            return Err(format!("the peers' process ended at '{line}'"));
        }
        match answer.trim_end().strip_prefix("error ") {
            Some(text) => Err(format!("'{line}': {text}")),
            None => Ok(answer.trim_end().to_owned()),
        }
    }

    /// The versions of what is installed: `name=version`, the peers in the order in which to show them.
    pub(crate) fn versions(&mut self) -> Result<Vec<(String, String)>, String> {
        let answer = self.ask("hello")?;
        let pair = |word: &str| word.split_once('=').map(|(name, version)| (name.to_owned(), version.to_owned()));
        Ok(answer.split(' ').filter_map(pair).collect())
    }

    /// Has the inputs made, and written into `folder` with NumPy's result; gives the inputs' names.
    pub(crate) fn load(&mut self, workload: &str, dtype: &str, n: usize, folder: &Path) -> Result<Vec<String>, String> {
        let answer = self.ask(&format!("load {workload} {dtype} {n} {}", folder.display()))?;
        Ok(answer.split(' ').skip(1).map(str::to_owned).collect())
    }

    /// Times a peer on what is loaded: milliseconds of its best run, or why it has none.
    pub(crate) fn run(&mut self, peer: &str, seconds: f64) -> Result<Result<f64, String>, String> {
        let answer = self.ask(&format!("run {peer} {seconds}"))?;
        match answer.split_once(' ') {
            Some(("ms", number)) => number.parse().map(Ok).map_err(|e| format!("'{answer}': {e}")),
            Some(("none", why)) => Ok(Err(why.to_owned())),
            _ => Err(format!("the peers' process answers '{answer}'")),
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // Whatever fails here, the process is gone or about to be.
        let _ = writeln!(self.to, "quit");
        let _ = self.process.wait();
    }
}
