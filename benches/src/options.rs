//! The command line.

use std::path::PathBuf;

/// How the harness is used.
pub(crate) const USAGE: &str = "\
usage, from the root of the project (`cargo xtask bench` builds and runs it):
  lazuli-bench run --python PYTHON [--ndarray PROGRAM] [--peers LIST] [--filter LIST] [--sizes LIST]
                   [--threads N] [--quick] [--no-write] [--record FILE]
  lazuli-bench compare --old PROGRAM [--filter LIST] [--sizes LIST] [--quick]
  lazuli-bench serve [speaks the protocol that benches/README.md describes]
  lazuli-bench page FILE [makes docs/benchmarks.md from a file of benches/results/]
";

/// What to run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Options {
    /// A Python that has NumPy.
    pub(crate) python: PathBuf,
    /// The peer in Rust; without, it is reported as not installed.
    pub(crate) ndarray: Option<PathBuf>,
    /// The packages to compare with; empty means all.
    pub(crate) peers: Vec<String>,
    /// Parts of the names of workloads, separated by commas.
    pub(crate) filter: String,
    /// Sizes in place of those of the workloads; empty means theirs.
    pub(crate) sizes: Vec<usize>,
    /// 0 is one for each core.
    pub(crate) threads: usize,
    /// Short turns, to see that all works.
    pub(crate) quick: bool,
    /// Prints only.
    pub(crate) no_write: bool,
    /// Where the record goes, of any run.
    pub(crate) record: Option<PathBuf>,
}

impl Options {
    /// Parses arguments.
    pub(crate) fn parse(args: &[String]) -> Result<Options, String> {
        let mut options = Options::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "--python" => options.python = value()?.into(),
                "--ndarray" => options.ndarray = Some(value()?.into()),
                "--peers" => options.peers = value()?.split(',').map(str::to_owned).collect(),
                "--filter" => options.filter = value()?.clone(),
                "--sizes" => options.sizes = sizes(value()?)?,
                "--threads" => options.threads = number(value()?)?,
                "--quick" => options.quick = true,
                "--record" => options.record = Some(value()?.into()),
                "--no-write" => options.no_write = true,
                _ => return Err(format!("unknown option '{arg}'\n{USAGE}")),
            }
        }
        match options.python.as_os_str().is_empty() {
            true => Err(format!("--python is missing: results are compared with NumPy's\n{USAGE}")),
            false => Ok(options),
        }
    }

    /// Whether this run leaves files behind: the whole, in earnest.
    pub(crate) fn writes(&self) -> bool {
        let whole = self.filter.is_empty() && self.sizes.is_empty() && self.peers.is_empty() && self.threads == 0;
        whole && !self.quick && !self.no_write
    }
}

/// What to compare.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CompareOptions {
    /// The harness of the version that this one is compared with.
    pub(crate) old: PathBuf,
    /// As in [`Options`].
    pub(crate) filter: String,
    pub(crate) sizes: Vec<usize>,
    pub(crate) quick: bool,
}

impl CompareOptions {
    /// Parses arguments.
    pub(crate) fn parse(args: &[String]) -> Result<CompareOptions, String> {
        let mut options = CompareOptions::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "--old" => options.old = value()?.into(),
                "--filter" => options.filter = value()?.clone(),
                "--sizes" => options.sizes = sizes(value()?)?,
                "--quick" => options.quick = true,
                _ => return Err(format!("unknown option '{arg}'\n{USAGE}")),
            }
        }
        match options.old.as_os_str().is_empty() {
            true => Err(format!("--old is missing: the harness to compare with\n{USAGE}")),
            false => Ok(options),
        }
    }
}

/// A number of elements: `1000`, `100_000`, `10k`, `10M`.
fn number(word: &str) -> Result<usize, String> {
    let plain = word.replace('_', "");
    let (digits, unit) = match plain.strip_suffix(['k', 'M']) {
        Some(digits) if plain.ends_with('k') => (digits, 1000),
        Some(digits) => (digits, 1_000_000),
        None => (plain.as_str(), 1),
    };
    let value = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(unit));
    value.ok_or_else(|| format!("'{word}' is no number such as 1000, 100_000, 10k or 10M"))
}

fn sizes(list: &str) -> Result<Vec<usize>, String> {
    let all = list.split(',').map(number).collect::<Result<Vec<_>, _>>()?;
    match all.iter().find(|&&n| n < 1000) {
        Some(n) => Err(format!("{n} elements are too few; shapes of every workload need 1000")),
        None => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options() {
        let options = parse("--python p --peers numpy,jax --sizes 1k,10M --threads 1").unwrap();
        assert_eq!(options.peers, ["numpy", "jax"]);
        assert_eq!(options.sizes, [1000, 10_000_000]);
        assert_eq!(options.threads, 1);
        assert!(!options.writes());
        assert!(parse("--python p").unwrap().writes());
        for partial in ["--quick", "--no-write", "--filter x", "--sizes 1k", "--peers numpy", "--threads 1"] {
            assert!(!parse(&format!("--python p {partial}")).unwrap().writes(), "{partial}");
        }
    }

    #[test]
    fn faults() {
        assert!(parse("").unwrap_err().contains("--python is missing"));
        assert!(parse("--python").unwrap_err().contains("wants a value"));
        assert!(parse("--python p --sizes 10").unwrap_err().contains("too few"));
        assert!(parse("--python p --sizes 1x").unwrap_err().contains("no number"));
        assert!(parse("--bogus").unwrap_err().contains("unknown option"));
        assert!(CompareOptions::parse(&[]).unwrap_err().contains("--old is missing"));
    }
}
