//! The peers: their processes, and who of them takes part.

use crate::client::{Client, Greeting};
use crate::options::Options;
use crate::workload::Workload;
use std::path::Path;
use std::process::Command;

/// The package that loops in Rust are written with; where its program is not built, it is as one not installed.
pub(crate) const RUST: &str = "ndarray";

/// The package of a contestant: several, such as `numba` and `numba_out`, may be of one.
pub(crate) fn package(contestant: &str) -> &str {
    contestant.split('_').next().unwrap_or(contestant)
}

/// The processes.
pub(crate) struct Peers {
    python: Client,
    rust: Option<Client>,
    /// Those in Python, then those in Rust.
    contestants: Vec<Peer>,
    /// What is installed.
    pub(crate) versions: Vec<(String, String)>,
}

/// A contestant.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) name: String,
    in_python: bool,
}

impl Peers {
    /// Starts them.
    ///
    /// # Errors
    /// A process that does not start or does not speak the protocol; a peer asked for that there is not.
    pub(crate) fn start(options: &Options, root: &Path, threads: usize) -> Result<Peers, String> {
        let count = ["--threads".to_owned(), threads.to_string()];
        let mut command = Command::new(&options.python);
        command.arg(root.join("benches").join("peers.py")).args(&count);
        let mut python = Client::start(&mut command)?;
        let Greeting { contestants, mut versions } = python.hello()?;
        let mut all: Vec<Peer> = contestants.into_iter().map(|name| Peer { name, in_python: true }).collect();
        let mut rust = None;
        if let Some(program) = &options.ndarray {
            let mut client = Client::start(Command::new(program).args(&count))?;
            let greeting = client.hello()?;
            all.extend(greeting.contestants.into_iter().map(|name| Peer { name, in_python: false }));
            versions.extend(greeting.versions);
            rust = Some(client);
        }
        for asked in &options.peers {
            if asked != RUST && !all.iter().any(|p| package(&p.name) == asked) {
                let known: Vec<&str> = all.iter().map(|p| p.name.as_str()).filter(|n| !n.contains('_')).collect();
                return Err(format!("no peer '{asked}'; known are {}", known.join(", ")));
            }
        }
        all.retain(|p| options.peers.is_empty() || options.peers.iter().any(|asked| asked == package(&p.name)));
        Ok(Peers { python, rust, contestants: all, versions })
    }

    /// Those who take part.
    pub(crate) fn contestants(&self) -> &[Peer] {
        &self.contestants
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.contestants.iter().map(|p| p.name.clone()).collect()
    }

    /// The process of a contestant.
    pub(crate) fn client(&mut self, peer: &Peer) -> Result<&mut Client, String> {
        match (&mut self.rust, peer.in_python) {
            (_, true) => Ok(&mut self.python),
            (Some(rust), false) => Ok(rust),
            (None, false) => Err(format!("{} has no process", peer.name)),
        }
    }

    /// Has inputs made and loaded by all, with NumPy's result; gives the inputs' names.
    pub(crate) fn load(&mut self, w: &Workload, dtype: &str, n: usize, folder: &Path) -> Result<Vec<String>, String> {
        let names = self.python.make(&w.path, dtype, n, folder)?;
        if let Some(rust) = &mut self.rust {
            rust.load(&w.name, dtype, n, folder)?;
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::package;

    #[test]
    fn contestants_are_of_packages() {
        assert_eq!(package("numba_out"), "numba");
        assert_eq!(package("numpy"), "numpy");
    }
}
