//! From a request to results: the one module that reads files, computes and writes.

use crate::args::{Format, Input, InputValue, Output, Request, Text};
use crate::lang::ast::Program;
use crate::lang::{self, Env, LangError, Outcome, Value};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lazuli::graph::Expr;
use lazuli::runtime::output::Staged;
use lazuli::runtime::{FormatError, npy, npz};
use lazuli::{Array, Config, DType, Level, Scalar, Shape, Tensor};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Why there is no result: the user's fault in most cases.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program is at fault.
    #[error(transparent)]
    Program(#[from] LangError),
    /// The computation failed.
    #[error(transparent)]
    Compute(#[from] lazuli::Error),
    /// An input or output file is at fault.
    #[error(transparent)]
    Format(#[from] Box<FormatError>),
    /// The program's file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// An input is not what its name promises.
    #[error("input '{name}': {message}")]
    Input {
        /// The input.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// An output asks for a result that there is not.
    #[error("there is no result '{name}'\n  help: the results are {known}")]
    NoResult {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Standard output cannot be written.
    #[error("cannot print: {0}")]
    Print(std::io::Error),
}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Error {
        Error::Format(Box::new(error))
    }
}

/// How long the steps took.
#[derive(Debug)]
pub struct Times {
    start: Instant,
    /// Steps and their times, in order.
    pub steps: Vec<(&'static str, Duration)>,
}

impl Default for Times {
    fn default() -> Times {
        Times { start: Instant::now(), steps: Vec::new() }
    }
}

impl Times {
    /// Leaves the time since the last step out of account.
    pub fn skip(&mut self) {
        self.start = Instant::now();
    }

    fn done(&mut self, step: &'static str) {
        self.steps.push((step, self.start.elapsed()));
        self.start = Instant::now();
    }
}

/// The array of a list of numbers.
fn new_array(values: &[Scalar], dtype: DType, shape: Shape) -> Expr {
    // Lists are of these four; each value has the list's dtype already.
    let tensor = match dtype {
        DType::Bool => Tensor::from_vec(&shape, values.iter().map(|v| v.as_bool()).collect::<Vec<bool>>()),
        DType::I64 => Tensor::from_vec(&shape, values.iter().map(|v| v.as_i64()).collect::<Vec<i64>>()),
        DType::U64 => Tensor::from_vec(&shape, values.iter().map(|v| v.bits()).collect::<Vec<u64>>()),
        _ => Tensor::from_vec(&shape, values.iter().map(|v| v.as_f64()).collect::<Vec<f64>>()),
    };
    lazuli_engine::data(tensor.expect("a list has as many numbers as its shape says"))
}

/// Archives that have been opened, for several arrays often come from one.
#[derive(Default)]
struct Files {
    archives: HashMap<PathBuf, npz::Npz>,
}

impl Files {
    fn read(&mut self, input: &Input) -> Result<Value, Error> {
        let fault = |message: String| Error::Input { name: input.name.clone(), message };
        let tensor = match &input.value {
            InputValue::Number(text) => return number(text).map_err(fault),
            InputValue::Npy(path) => npy::read(path)?,
            InputValue::Npz(path, array) => {
                let archive = match self.archives.entry(path.clone()) {
                    Entry::Occupied(open) => open.into_mut(),
                    Entry::Vacant(place) => place.insert(npz::open(path)?),
                };
                match (array, &archive.names()[..]) {
                    (Some(array), _) => archive.read(array)?,
                    (None, [only]) => archive.read(only)?,
                    (None, names) => {
                        let path = path.display();
                        let message = match names.first() {
                            None => format!("{path} holds no arrays"),
                            Some(first) => format!(
                                "{path} holds {} arrays: {}\n  help: say which: {}={path}:{first}",
                                names.len(),
                                names.join(", "),
                                input.name
                            ),
                        };
                        return Err(fault(message));
                    }
                }
            }
        };
        Ok(Value::Array(lazuli_engine::data(tensor)))
    }
}

/// A number, as an expression of literals.
fn number(text: &str) -> Result<Value, String> {
    let wrong = |e: &dyn std::fmt::Display| {
        format!("'{text}' is no number\n  help: inputs are numbers, FILE.npy or FILE.npz:ARRAY ({e})")
    };
    let program = lang::parse("<input>", text).map_err(|e| wrong(&e.message()))?;
    lang::eval_number(&program).map_err(|e| wrong(&e.message()))
}

/// A program with its inputs, as expressions; the results that are wanted come first to last.
pub struct Built {
    outcome: Outcome,
    /// The results that are computed, by index into the outcome's.
    wanted: Vec<usize>,
    /// Inputs that the program does not use.
    pub unused: Vec<String>,
}

/// Reads a program and the inputs it uses, and builds its results.
///
/// # Errors
/// Files that cannot be read, faults of the program, outputs that name no result.
pub fn build(request: &Request, times: &mut Times) -> Result<Built, Error> {
    let program = match &request.program {
        Text::Inline(text) => lang::parse("<expression>", text)?,
        Text::File(path) => {
            let read = || -> std::io::Result<String> {
                use std::io::Read;
                let mut text = String::new();
                // One byte more than may be, for the parser to complain of.
                let most = lang::MAX_SOURCE as u64 + 1;
                std::fs::File::open(path)?.take(most).read_to_string(&mut text)?;
                Ok(text)
            };
            let text = read().map_err(|error| Error::Read { path: path.clone(), error })?;
            lang::parse(&path.display().to_string(), &text)?
        }
    };
    let names = program.names();
    let mut files = Files::default();
    let mut inputs = HashMap::new();
    for input in request.inputs.iter().filter(|i| names.contains(i.name.as_str())) {
        inputs.insert(input.name.clone(), files.read(input)?);
    }
    times.done("read");
    let built = assemble(request, &program, inputs)?;
    times.done("build");
    Ok(built)
}

fn assemble(request: &Request, program: &Program, inputs: HashMap<String, Value>) -> Result<Built, Error> {
    let outcome = lang::eval(program, &Env { names: inputs, new_array: &new_array })?;
    let unused = request.inputs.iter().filter(|i| !outcome.used.contains(&i.name)).map(|i| i.name.clone()).collect();
    let last = outcome.results.len() - 1;
    let mut wanted = Vec::new();
    if request.outputs.is_empty() {
        wanted.push(last);
    }
    for output in &request.outputs {
        wanted.extend(entries(output, &outcome)?.into_iter().map(|(_, index)| index));
    }
    wanted.sort_unstable();
    wanted.dedup();
    Ok(Built { outcome, wanted, unused })
}

/// What an output holds: names of entries, and which results they are.
fn entries(output: &Output, outcome: &Outcome) -> Result<Vec<(String, usize)>, Error> {
    let results = outcome.results.iter().enumerate();
    let named = |name: &str| results.clone().find(|(_, r)| r.0.as_deref() == Some(name)).map(|(i, _)| i);
    let last = outcome.results.len() - 1;
    match (&output.name, output.format) {
        (Some(name), _) => match named(name) {
            Some(index) => Ok(vec![(name.clone(), index)]),
            None => {
                let names: Vec<&str> = outcome.results.iter().filter_map(|r| r.0.as_deref()).collect();
                let known = if names.is_empty() { "without names".to_owned() } else { names.join(", ") };
                Err(Error::NoResult { name: name.clone(), known })
            }
        },
        (None, Format::Npz) => {
            let entry = |(i, result): (usize, &(Option<String>, Expr))| match &result.0 {
                Some(name) if i != last && name.starts_with('_') => None,
                Some(name) => Some((name.clone(), i)),
                None => Some((free_name(outcome), i)),
            };
            Ok(results.filter_map(entry).collect())
        }
        (None, Format::Npy | Format::Png) => Ok(vec![(String::new(), last)]),
    }
}

/// The name of the last statement's result where it has none: `result`, unless that is taken.
fn free_name(outcome: &Outcome) -> String {
    let mut name = "result".to_owned();
    while outcome.results.iter().any(|r| r.0.as_ref() == Some(&name)) {
        name.push('_');
    }
    name
}

impl Built {
    fn roots(&self) -> Vec<Expr> {
        self.wanted.iter().map(|&i| self.outcome.results[i].1.clone()).collect()
    }

    /// How the wanted results would be computed.
    ///
    /// # Errors
    /// Internal errors only.
    pub fn explain(&self, config: &Config, level: Level) -> Result<String, Error> {
        Ok(without_places(&lazuli_engine::explain(&self.roots(), config, level)?.to_string()))
    }

    /// The optimized graph for Graphviz.
    ///
    /// # Errors
    /// Internal errors only.
    pub fn dot(&self, config: &Config) -> Result<String, Error> {
        Ok(lazuli_engine::explain(&self.roots(), config, Level::Graph)?.dot())
    }

    /// Computes the wanted results, and writes the outputs; without outputs, gives the last result as text.
    ///
    /// # Errors
    /// Memory, files that cannot be written; then no output has appeared.
    pub fn compute(&self, request: &Request, times: &mut Times) -> Result<Option<String>, Error> {
        let arrays: Vec<Array> = self.roots().into_iter().map(Array::from_expr).collect();
        let tensors = with_progress(&request.config, |config| lazuli::compute_all_with(&arrays, config))?;
        times.done("compute");
        let tensor = |index: usize| {
            let place = self.wanted.iter().position(|&w| w == index).expect("what outputs hold is wanted");
            &tensors[place]
        };
        if request.outputs.is_empty() {
            return Ok(Some(tensors[tensors.len() - 1].to_string()));
        }
        let mut staged = Staged::new();
        let mut done: Vec<&Path> = Vec::new();
        for output in &request.outputs {
            if done.contains(&output.path.as_path()) {
                continue;
            }
            done.push(&output.path);
            // An archive can be put together from several outputs.
            let mut parts = Vec::new();
            for same in request.outputs.iter().filter(|o| o.path == output.path) {
                parts.extend(entries(same, &self.outcome)?);
            }
            match output.format {
                Format::Npy => staged.npy(&output.path, tensor(parts[0].1))?,
                Format::Png => staged.png(&output.path, tensor(parts[0].1))?,
                Format::Npz => {
                    let arrays: Vec<(String, Tensor)> =
                        parts.into_iter().map(|(name, index)| (name, tensor(index).clone())).collect();
                    staged.npz(&output.path, &arrays, npz::Compression::Stored)?;
                }
            }
        }
        staged.commit()?;
        times.done("write");
        Ok(None)
    }
}

/// An explanation without the places in Rust source where nodes were built: of a program, all are the evaluator's own.
fn without_places(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(" (") {
        let (before, place) = rest.split_at(start);
        out.push_str(before);
        let end = place.find(')').map_or(place.len(), |at| at + 1);
        let is_place = place[..end].contains(".rs:") && !place[..end].contains('\n');
        let (place, after) = place.split_at(if is_place { end } else { " (".len() });
        if !is_place {
            out.push_str(place);
        }
        rest = after;
    }
    out + rest
}

/// Long runs show a bar, if somebody is looking.
fn with_progress<T>(config: &Config, run: impl FnOnce(&Config) -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return run(config);
    }
    const STEPS: u64 = 1000;
    let start = Instant::now();
    let bar = std::sync::Arc::new(OnceLock::<ProgressBar>::new());
    let shown = bar.clone();
    let config = config.clone().on_progress(move |fraction| {
        // What is over soon needs no bar.
        if shown.get().is_some() || start.elapsed() > Duration::from_millis(400) {
            let bar = shown.get_or_init(|| {
                let style = ProgressStyle::with_template("{wide_bar} {percent:>3}% {eta:>4}");
                ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr())
                    .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            });
            bar.set_position((fraction * STEPS as f64) as u64);
        }
    });
    let result = run(&config);
    if let Some(bar) = bar.get() {
        bar.finish_and_clear();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_left_out() {
        let text = "%1 cast (frontend/cli/src/lang/eval.rs:2:9) from int16 (2 bytes)\n %2 sum (a\\b.rs:1:1); f (x";
        assert_eq!(without_places(text), "%1 cast from int16 (2 bytes)\n %2 sum; f (x");
    }

    #[test]
    fn inputs_are_numbers_of_literals() {
        assert_eq!(number("-3").unwrap().scalar().unwrap().as_i64(), -3);
        assert_eq!(number("2 * pi").unwrap().scalar().unwrap().as_f64(), std::f64::consts::TAU);
        assert_eq!(number("nan").unwrap().scalar().unwrap().to_string(), "nan");
        for text in ["x", "1; 2", "x = 1", "sqrt(2)", "[1, 2]", "(1, 2)", "a.npy", "1 +", "float32"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
