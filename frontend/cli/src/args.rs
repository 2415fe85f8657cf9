//! The command line: what can be asked for, and what is wrong with asking before anything is read.

use clap::{Args, Parser, Subcommand};
use lazuli::{BackendChoice, Config, Level, Precision};
use std::path::{Path, PathBuf};

/// Evaluate and explain array expressions.
///
/// Expressions have NumPy's spelling; the optimizer fuses them into a few kernels, which are compiled for this CPU and
/// run on all cores.
#[derive(Parser, Debug)]
#[command(name = "lazuli", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Compute an expression; write the results, or print the last one.
    #[command(after_help = EXAMPLES)]
    Eval(EvalArgs),
    /// Show how an expression would be computed: graph, passes, fusion, kernels, memory. Computes nothing.
    Explain(ExplainArgs),
    /// Show what this machine has: CPU, targets, caches, threads.
    Info,
}

const EXAMPLES: &str = "Examples:
  lazuli eval 'sqrt(x**2 + y**2)' x=3 y=4
  lazuli eval 'sqrt(x**2 + y**2).mean(axis=0)' x=a.npy y=b.npy -o r.npy
  lazuli eval -f docs/examples/hillshade.lz elev=docs/data/jacksboro_dem.npz:elevation -o hillshade.png
  lazuli eval 'm = x.mean(); s = x.std()' x=a.npz:data -o m=stats.npz -o s=stats.npz";

/// Arguments of `eval`.
#[derive(Args, Debug)]
pub struct EvalArgs {
    /// The program and its inputs.
    #[command(flatten)]
    pub program: ProgramArgs,
    /// Say on stderr how long each step took.
    #[arg(long)]
    pub time: bool,
    /// Say on stderr how the results are computed, before they are.
    #[arg(long)]
    pub explain: bool,
}

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The program and its inputs. Results that -o selects are explained, and not written.
    #[command(flatten)]
    pub program: ProgramArgs,
    /// How deep to go: graph, kernel, clif (the compiler's input) or asm (its output).
    #[arg(long, default_value = "kernel")]
    pub level: Level,
    /// Print the optimized graph for Graphviz.
    #[arg(long)]
    pub dot: bool,
}

/// What `eval` and `explain` share.
#[derive(Args, Debug)]
pub struct ProgramArgs {
    /// The expression, unless -f gives it.
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    pub expression: Option<String>,
    /// Inputs: NAME=3.5, NAME=FILE.npy, NAME=FILE.npz:ARRAY.
    #[arg(value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// Read the program from a file.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Write the last result to a .npy, .npz or .png file, or with NAME=FILE the result that has this name. A .npz
    /// file without a name gets every named result, but for those that begin with '_'. Can be repeated.
    #[arg(short, long = "output", value_name = "[NAME=]FILE")]
    pub outputs: Vec<String>,
    /// Arithmetic: precise, standard or fast.
    #[arg(long)]
    pub precision: Option<Precision>,
    /// Threads; 0 is one for each core.
    #[arg(long)]
    pub threads: Option<usize>,
    /// What runs the kernels: auto, interp, clif or wide.
    #[arg(long)]
    pub backend: Option<BackendChoice>,
    /// The instruction set to compile for; `lazuli info` lists them.
    #[arg(long)]
    pub target: Option<String>,
    /// The most memory that results and temporaries may take, such as 512M or 2GiB.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub memory_limit: Option<u64>,
    /// Passes of the optimizer to leave out, separated by commas.
    #[arg(long, value_name = "PASS,…")]
    pub disable: Option<String>,
}

/// A number of bytes: `1048576`, `512M`, `2GiB`, `1.5G`; units are powers of 1024.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no number of bytes; write 1048576, 512M or 2GiB");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let power = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    let bytes = digits.parse::<f64>().map_err(|_| wrong())? * 1024f64.powi(power);
    if !(0.0..u64::MAX as f64).contains(&bytes) {
        return Err(wrong());
    }
    Ok(bytes as u64)
}

/// An input: a name and where its value comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The name.
    pub name: String,
    /// The value.
    pub value: InputValue,
}

/// Where an input's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum InputValue {
    /// A number, as an expression of literals.
    Number(String),
    /// A `.npy` file.
    Npy(PathBuf),
    /// An array of a `.npz` file, by name; the only one, if there is no name.
    Npz(PathBuf, Option<String>),
}

/// A file to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The result wanted; the last one, or all, if there is no name.
    pub name: Option<String>,
    /// Where it goes.
    pub path: PathBuf,
    /// What is written.
    pub format: Format,
}

/// A format of output files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One array.
    Npy,
    /// Named arrays.
    Npz,
    /// A picture.
    Png,
}

/// A request that makes sense, as far as can be told without reading anything.
#[derive(Clone, Debug)]
pub struct Request {
    /// The program's text, or the file it is in.
    pub program: Text,
    /// The inputs.
    pub inputs: Vec<Input>,
    /// The files to write.
    pub outputs: Vec<Output>,
    /// How to compute.
    pub config: Config,
}

/// Where a program's text is.
#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    /// On the command line.
    Inline(String),
    /// In a file.
    File(PathBuf),
}

/// A request that makes no sense; the text says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

impl ProgramArgs {
    /// Checks the arguments. `config` is what the environment asks for.
    ///
    /// # Errors
    /// No program, inputs and outputs that are not understood, settings that this machine does not have.
    pub fn request(&self, config: Config) -> Result<Request, Usage> {
        let words = self.expression.iter().chain(&self.inputs);
        let option = |w: &&String| w.strip_prefix("--").is_some_and(|w| w.starts_with(char::is_alphabetic));
        if let Some(option) = words.clone().find(option) {
            return Err(Usage(format!("unexpected argument '{}'", shortened(option))));
        }
        let (program, inputs) = match (&self.file, &self.expression) {
            (Some(file), _) => {
                (Text::File(file.clone()), words.map(|w| parse_input(w)).collect::<Result<Vec<_>, _>>()?)
            }
            (None, Some(text)) => {
                (Text::Inline(text.clone()), self.inputs.iter().map(|w| parse_input(w)).collect::<Result<Vec<_>, _>>()?)
            }
            (None, None) => return Err(Usage("an expression, or a file of one with -f, is needed".to_owned())),
        };
        if let Some(twice) = inputs.iter().enumerate().find(|(i, a)| inputs[..*i].iter().any(|b| b.name == a.name)) {
            return Err(Usage(format!("the input '{}' is given twice", twice.1.name)));
        }
        let outputs = self.outputs.iter().map(|o| parse_output(o)).collect::<Result<Vec<_>, _>>()?;
        for (i, a) in outputs.iter().enumerate() {
            for b in outputs[..i].iter().filter(|b| b.path == a.path) {
                let together = a.format == Format::Npz && a.name.is_some() && b.name.is_some() && a.name != b.name;
                if !together {
                    return Err(Usage(format!("the output {} is given twice", a.path.display())));
                }
            }
        }
        Ok(Request { program, inputs, outputs, config: self.config(config)? })
    }

    fn config(&self, mut config: Config) -> Result<Config, Usage> {
        if let Some(target) = &self.target {
            config = config.target_named(target).map_err(|e| Usage(e.to_string()))?;
        }
        if let Some(precision) = self.precision {
            config = config.precision(precision);
        }
        if let Some(threads) = self.threads {
            config = config.threads(threads);
        }
        if let Some(backend) = self.backend {
            config = config.backend(backend);
        }
        if let Some(bytes) = self.memory_limit {
            config = config.memory_limit(bytes);
        }
        if let Some(passes) = &self.disable {
            config = config.disable(passes.parse().map_err(|e| Usage(format!("--disable: {e}")))?);
        }
        Ok(config)
    }
}

fn shortened(word: &str) -> String {
    match word.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &word[..at]),
        None => word.to_owned(),
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_') && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
}

fn parse_input(word: &str) -> Result<Input, Usage> {
    let wrong = || Usage(format!("'{}' is no input; inputs are NAME=VALUE", shortened(word)));
    let (name, value) = word.split_once('=').ok_or_else(wrong)?;
    if !is_name(name) || value.is_empty() {
        return Err(wrong());
    }
    // Names of arrays can be anything, colons and dots among them.
    let archive = value.to_ascii_lowercase().find(".npz:").map(|at| value.split_at(at + ".npz".len()));
    let value = match archive {
        Some((path, array)) => InputValue::Npz(path.into(), Some(array[1..].to_owned())),
        None if has_extension(value, "npy") => InputValue::Npy(value.into()),
        None if has_extension(value, "npz") => InputValue::Npz(value.into(), None),
        // No number ends in a point and letters.
        _ if Path::new(value).extension().is_some_and(|e| e.to_string_lossy().chars().all(char::is_alphabetic)) => {
            let text = "inputs are numbers, FILE.npy or FILE.npz:ARRAY";
            return Err(Usage(format!("'{}' is a file of an unknown kind; {text}", shortened(value))));
        }
        _ => InputValue::Number(value.to_owned()),
    };
    Ok(Input { name: name.to_owned(), value })
}

fn parse_output(word: &str) -> Result<Output, Usage> {
    let (name, path) = match word.split_once('=') {
        Some((name, path)) if is_name(name) => (Some(name.to_owned()), path),
        _ => (None, word),
    };
    let format = [("npy", Format::Npy), ("npz", Format::Npz), ("png", Format::Png)]
        .into_iter()
        .find(|(extension, _)| has_extension(path, extension));
    match format {
        Some((_, format)) => Ok(Output { name, path: path.into(), format }),
        None => Err(Usage(format!("cannot write '{}': outputs end in .npy, .npz or .png", shortened(path)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn request(words: &[&str]) -> Result<Request, String> {
        let words = ["lazuli", "eval"].iter().chain(words);
        match Cli::try_parse_from(words).map_err(|e| e.to_string())?.command {
            Command::Eval(eval) => eval.program.request(Config::default()).map_err(|e| e.to_string()),
            _ => Err("not eval".into()),
        }
    }

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn words_are_program_and_inputs() {
        let r =
            request(&["-x + y", "x=-3", "y=d.v1/a.npy", "z=a.NPZ:b=c:d.npy", "w=a.npz", "k=1.5e-3", "v=2*pi"]).unwrap();
        assert_eq!(r.program, Text::Inline("-x + y".into()));
        let values: Vec<InputValue> = r.inputs.into_iter().map(|i| i.value).collect();
        assert_eq!(
            values,
            [
                InputValue::Number("-3".into()),
                InputValue::Npy("d.v1/a.npy".into()),
                InputValue::Npz("a.NPZ".into(), Some("b=c:d.npy".into())),
                InputValue::Npz("a.npz".into(), None),
                InputValue::Number("1.5e-3".into()),
                InputValue::Number("2*pi".into()),
            ]
        );
    }

    #[test]
    fn archives_name_their_arrays() {
        let r = request(&["x", "x=dir/a.npz:elevation"]).unwrap();
        assert_eq!(r.inputs[0].value, InputValue::Npz("dir/a.npz".into(), Some("elevation".into())));
    }

    #[test]
    fn a_file_leaves_only_inputs() {
        let r = request(&["-f", "a.lz", "x=1"]).unwrap();
        assert_eq!((r.program, r.inputs.len()), (Text::File("a.lz".into()), 1));
        assert!(request(&["-f", "a.lz", "x + 1"]).is_err());
        // An assignment is a program where no file is.
        assert_eq!(request(&["x=1"]).unwrap().program, Text::Inline("x=1".into()));
    }

    #[test]
    fn options_may_follow_words() {
        let r = request(&["x", "x=1", "--threads", "3", "-o", "a.npy", "-oy=b.npz", "--memory-limit=1.5k"]).unwrap();
        assert_eq!((r.config.threads, r.config.memory_limit, r.outputs.len()), (3, Some(1536), 2));
        assert_eq!(r.outputs[1], Output { name: Some("y".into()), path: "b.npz".into(), format: Format::Npz });
    }

    #[test]
    fn what_makes_no_sense() {
        for words in [
            &[][..],
            &["x", "1=2"],
            &["x", "y"],
            &["x", "x=1", "x=2"],
            &["x", "x="],
            &["x", "x=a.txt"],
            &["x", "-o", "a.jpg"],
            &["x", "-o", "a"],
            &["x", "-o", "a.npy", "-o", "a.npy"],
            &["x", "-o", "a.npz", "-o", "y=a.npz"],
            &["x", "-o", "y=a.npz", "-o", "y=a.npz"],
            &["x", "--threads", "-1"],
            &["x", "--target", "z80"],
            &["x", "--backend", "gpu"],
            &["x", "--precision", "sloppy"],
            &["x", "--memory-limit", "2X"],
            &["x", "--memory-limit", "-1"],
            &["x", "--disable", "everything"],
            &["x", "--thread=3"],
            &["--thread", "x"],
        ] {
            assert!(request(words).is_err(), "{words:?}");
        }
        request(&["x", "-o", "y=a.npz", "-o", "z=a.npz"]).unwrap();
    }

    #[test]
    fn bytes_have_units() {
        for (text, bytes) in [("0", 0), ("17", 17), ("1k", 1024), ("1KB", 1024), ("2MiB", 2 << 20), ("0.5G", 1 << 29)] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "1q", "-1", "nan", "1e30", "inf", "1kk", "1ibb"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
