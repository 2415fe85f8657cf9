//! Lazuli behind the line protocol, so that another version's harness can take turns with this one's.

use crate::client::PROTOCOL;
use crate::subject::{self, Subject};
use crate::timing;
use crate::workload::Workload;
use lazuli_engine::Config;
use lazuli_runtime::Tensor;
use std::io::{BufRead, Write};
use std::path::Path;

/// What another version may ask for.
pub(crate) const CONTESTANTS: [&str; 2] = ["compute", "call"];

/// The file in the exchange folder that says what to compute, beside the arrays.
pub(crate) const WORKLOAD: &str = "workload.toml";

struct Loaded {
    subject: Subject,
    expected: Tensor,
    ready: Vec<(String, usize)>,
}

impl Loaded {
    fn run(&self, contestant: &str, config: &Config) -> Result<Tensor, String> {
        match contestant {
            "compute" => self.subject.compute(config),
            "call" => self.subject.call(config),
            _ => Err(format!("no contestant '{contestant}'; known are {}", CONTESTANTS.join(", "))),
        }
    }
}

/// Answers commands until there are none.
pub(crate) fn serve() -> Result<(), String> {
    let config = Config::default();
    let mut loaded = None;
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        let words: Vec<&str> = line.split('\t').collect();
        if words == ["quit"] {
            break;
        }
        let answer = answer(&words, &config, &mut loaded);
        let answer = answer.unwrap_or_else(|text| format!("error {}", text.replace('\n', " ")));
        writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn answer(words: &[&str], config: &Config, loaded: &mut Option<Loaded>) -> Result<String, String> {
    let nothing = || "nothing is loaded".to_owned();
    match words {
        ["hello"] => {
            let version = env!("CARGO_PKG_VERSION");
            Ok(format!("{PROTOCOL} contestants={} lazuli={version}", CONTESTANTS.join(",")))
        }
        ["load", _, _, _, folder] => {
            // The old arrays go before the new ones come.
            *loaded = None;
            *loaded = Some(load(Path::new(folder))?);
            Ok("ok".to_owned())
        }
        ["prepare", contestant] => {
            let loaded = loaded.as_mut().ok_or_else(nothing)?;
            let start = std::time::Instant::now();
            let result = loaded.run(contestant, config)?;
            let first = start.elapsed().as_nanos();
            if let Err(why) = subject::close(&result, &loaded.expected) {
                return Ok(format!("none {why}"));
            }
            drop(result);
            let bundle = timing::bundle(|| loaded.run(contestant, config).map(drop))?;
            loaded.ready.push(((*contestant).to_owned(), bundle));
            Ok(format!("ok {first}"))
        }
        ["run", contestant, seconds] => {
            let loaded = loaded.as_ref().ok_or_else(nothing)?;
            let ready = loaded.ready.iter().find(|(name, _)| name == contestant);
            let (_, bundle) = ready.ok_or_else(|| format!("'{contestant}' is not prepared"))?;
            let seconds: f64 = seconds.parse().map_err(|e| format!("'{seconds}': {e}"))?;
            let samples = timing::samples(seconds, *bundle, || loaded.run(contestant, config).map(drop))?;
            let numbers: Vec<String> = samples.iter().map(|ns| format!("{ns:.1}")).collect();
            Ok(format!("ns {}", numbers.join(" ")))
        }
        _ => Err(format!("unknown command '{}'", words.join(" "))),
    }
}

fn load(folder: &Path) -> Result<Loaded, String> {
    let path = folder.join(WORKLOAD);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let workload = Workload::parse(&path, &text)?;
    let names = workload.inputs.keys().cloned().collect();
    let subject = Subject::read(&workload.formula, names, folder)?;
    Ok(Loaded { subject, expected: subject::read(folder, "expected")?, ready: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_runtime::npy;

    #[test]
    fn a_conversation() {
        let dir = tempfile::tempdir().unwrap();
        let text = "doc = \"\"\nformula = \"x + 1.0\"\nflops = 1\n[inputs]\nx = {}\n";
        std::fs::write(dir.path().join(WORKLOAD), text).unwrap();
        let write = |name: &str, v: Vec<f64>| {
            npy::write(dir.path().join(format!("{name}.npy")), &Tensor::from_vec(&[2], v).unwrap()).unwrap();
        };
        write("x", vec![1.0, 2.0]);
        write("expected", vec![2.0, 3.0]);
        let folder = dir.path().to_str().unwrap();
        let (config, mut loaded) = (Config::default(), None);
        let mut say = |words: &[&str]| answer(words, &config, &mut loaded);
        assert!(say(&["hello"]).unwrap().starts_with("lazuli-bench 2 contestants=compute,call "));
        assert_eq!(say(&["prepare", "call"]), Err("nothing is loaded".to_owned()));
        assert_eq!(say(&["load", "w", "float64", "2", folder]).unwrap(), "ok");
        assert!(say(&["run", "call", "0"]).unwrap_err().contains("not prepared"));
        assert!(say(&["prepare", "call"]).unwrap().starts_with("ok "));
        assert!(say(&["run", "call", "0"]).unwrap().starts_with("ns "));
        assert!(say(&["prepare", "other"]).is_err() && say(&["what"]).is_err());
        write("expected", vec![2.0, 4.0]);
        say(&["load", "w", "float64", "2", folder]).unwrap();
        assert_eq!(say(&["prepare", "compute"]).unwrap(), "none element 1 is 3.0, expected is 4.0");
    }
}
