//! Runs `tests/filetests/**/*.lzt`: text in, text out.
//!
//! ```text
//! test optimize
//! passes: simplify, dce
//!
//! %0 = input 0 : f64[3]
//! %1 = const 1.0 : f64[3]
//! %2 = multiply %0, %1 : f64[3]
//! return %2
//! ---
//! %0 = input 0 : f64[3]
//! return %0
//! ```
//! The header names a command of [`COMMANDS`] and gives it settings, one `key: value` a line. After it and a blank
//! line come cases, separated by `===`; each is a graph, `---`, and what the command must print. A comment at the head
//! of a graph says what the case is about. `BLESS=1` writes what the commands print in place of what they should:
//! read the diff before you commit it.

use lazuli_engine::plan::{InputLayout, Plan, contiguous};
use lazuli_engine::{BackendChoice, Config, Level, Precision, Results, Target, explain_graph};
use lazuli_graph::passes::{Options, PassSet, optimize};
use lazuli_graph::{DType, FuseOptions, Graph, Op, Scalar, fuse, verify};
use lazuli_runtime::Tensor;
use lazuli_tests::oracle::tensor;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What a command prints, or why the case itself is at fault.
type Outcome = Result<String, String>;

/// The settings of a file's header.
type Settings = BTreeMap<String, String>;

/// A command: its name, the settings it knows, and what it does with the text of a case.
struct Command {
    name: &'static str,
    settings: &'static [&'static str],
    run: fn(&Settings, &str) -> Outcome,
}

const COMMANDS: &[Command] = &[
    // Prints the graph again, or the error of the parser.
    Command { name: "parse", settings: &[], run: run_parse },
    // Prints the graph with the verifier's errors, or that there are none.
    Command { name: "verify", settings: &[], run: run_verify },
    // Prints the graph after the passes; `passes` names those to run, by default all.
    Command { name: "optimize", settings: &["passes", "precision"], run: run_optimize },
    // Prints the home of each node and the kernels that fusion makes; `fusion: off` switches it off.
    Command { name: "fuse", settings: &["fusion"], run: run_fuse },
    // Prints each step of the plan with its kernel's lane program; `precision` chooses the programs.
    Command { name: "lower", settings: &["precision"], run: run_lower },
    // Computes on every backend and target, over inputs that count up from -3 by 0.75, and prints the results.
    Command { name: "run", settings: &["precision"], run: run_run },
    // Prints the explanation at the level of graphs.
    Command { name: "explain", settings: &[], run: run_explain },
];

fn run_parse(_: &Settings, input: &str) -> Outcome {
    let graph = match Graph::parse(input) {
        Ok(graph) => graph,
        Err(e) => return Ok(e.to_string()),
    };
    let text = graph.to_string();
    let again = Graph::parse(&text).map_err(|e| format!("what was printed does not parse: {e}\n{text}"))?.to_string();
    if again == text { Ok(text) } else { Err(format!("does not round-trip:\n{text}\n{again}")) }
}

fn run_verify(_: &Settings, input: &str) -> Outcome {
    let graph = Graph::parse(input).map_err(|e| e.to_string())?;
    match verify(&graph) {
        Ok(()) => Ok("; valid".into()),
        Err(e) => {
            let text = e.to_string();
            Graph::parse(&text).map_err(|e| format!("what was printed does not parse: {e}\n{text}"))?;
            Ok(text)
        }
    }
}

fn run_optimize(settings: &Settings, input: &str) -> Outcome {
    let mut graph = Graph::parse(input).map_err(|e| e.to_string())?;
    let disabled = match settings.get("passes") {
        Some(names) => names.parse::<PassSet>().map_err(|e| e.to_string())?.complement(),
        None => PassSet::NONE,
    };
    let precision = precision(settings)?;
    let options = Options { disabled, loose: precision == Precision::Fast, verify: true, ..Options::default() };
    let evaluate = |op: &Op, operand: DType, result: DType, args: &[Scalar]| {
        lazuli_engine::evaluate(op, operand, result, args, precision)
    };
    optimize(&mut graph, &options, &evaluate).map_err(|e| e.to_string())?;
    Ok(graph.compact().to_string())
}

fn run_fuse(settings: &Settings, input: &str) -> Outcome {
    let graph = Graph::parse(input).map_err(|e| e.to_string())?;
    verify(&graph).map_err(|e| e.to_string())?;
    let enabled = settings.get("fusion").is_none_or(|v| v != "off");
    let fusion = fuse(&graph, FuseOptions { enabled, ..FuseOptions::default() });
    let mut out = String::new();
    for id in graph.order() {
        let home = format!("{:?}", fusion.home(id)).to_lowercase();
        let _ = writeln!(out, "{id} {} {home}", graph.node(id).op.name());
    }
    for group in &fusion.groups {
        let roots: Vec<String> = group.roots.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "{:?} over {}, cost {}: {}", group.kind, group.shape, group.weight, roots.join(" "));
    }
    for (id, why) in &fusion.notes {
        let _ = writeln!(out, "{id} {why}");
    }
    Ok(out)
}

fn precision(settings: &Settings) -> Result<Precision, String> {
    match settings.get("precision") {
        Some(name) => name.parse().map_err(|e: lazuli_jit::UnknownPrecision| e.to_string()),
        None => Ok(Precision::Standard),
    }
}

fn config(settings: &Settings) -> Result<Config, String> {
    Ok(Config::default().precision(precision(settings)?).threads(2))
}

/// C-contiguous layouts of the inputs of a graph.
fn layouts(graph: &Graph) -> Result<Vec<InputLayout>, String> {
    let mut inputs = BTreeMap::new();
    for id in graph.ids() {
        let node = graph.node(id);
        if let Op::Input(n) = node.op {
            let strides = contiguous(node.dtype, &node.shape);
            inputs.insert(n, InputLayout { dtype: node.dtype, shape: node.shape.clone(), strides });
        }
    }
    match inputs.keys().enumerate().all(|(i, n)| i == *n as usize) {
        true => Ok(inputs.into_values().collect()),
        false => Err("inputs must be numbered from 0 without gaps".into()),
    }
}

fn run_lower(settings: &Settings, input: &str) -> Outcome {
    let graph = Graph::parse(input).map_err(|e| e.to_string())?;
    let plan = Plan::new(graph.clone(), &layouts(&graph)?, &config(settings)?, false).map_err(|e| e.to_string())?;
    let mut out = String::new();
    for (i, step) in plan.steps.iter().enumerate() {
        let runs = step.runs();
        if runs.is_empty() {
            let _ = writeln!(out, "step {i}: library call");
        }
        for run in runs {
            let _ = writeln!(out, "step {i} over {:?}:\n{}", run.extents.as_slice(), run.kernel.kernel());
        }
    }
    Ok(out)
}

fn run_run(settings: &Settings, input: &str) -> Outcome {
    let graph = Graph::parse(input).map_err(|e| e.to_string())?;
    let layouts = layouts(&graph)?;
    let inputs: Vec<Tensor> = layouts
        .iter()
        .map(|l| {
            let values: Vec<Scalar> =
                (0..l.shape.elements()).map(|i| Scalar::from_f64(l.dtype, i as f64 * 0.75 - 3.0)).collect();
            tensor(l.dtype, &l.shape, &values)
        })
        .collect::<Result<_, _>>()?;
    let config = config(settings)?;
    let mut ways = vec![
        ("unoptimized".to_owned(), config.clone().backend(BackendChoice::Interp).disable(PassSet::ALL)),
        ("interp".to_owned(), config.clone().backend(BackendChoice::Interp)),
    ];
    for target in Target::available().iter().filter(|t| t.supported()) {
        for backend in [BackendChoice::Clif, BackendChoice::Wide] {
            let config = config.clone().backend(backend).target_named(target.name).map_err(|e| e.to_string())?;
            ways.push((format!("{backend} {}", target.name), config));
        }
    }
    let mut expected: Option<Results> = None;
    for (name, config) in ways {
        let plan = Plan::new(graph.clone(), &layouts, &config, false).map_err(|e| e.to_string())?;
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let mut results = Results::new();
        plan.run(&inputs, &config, &mut results).map_err(|e| format!("{name}: {e}"))?;
        let expected = expected.get_or_insert_with(|| results.clone());
        for (i, (a, b)) in expected.iter().zip(&results).enumerate() {
            if let Some((at, x, y)) = a.first_difference(b) {
                return Err(format!("{name}: output {i}, element {at}: {y:?}, not {x:?}"));
            }
        }
    }
    let results = expected.unwrap_or_default();
    Ok(results.iter().map(|t| format!("{}{} {t}\n", t.dtype(), t.shape())).collect())
}

fn run_explain(settings: &Settings, input: &str) -> Outcome {
    let graph = Graph::parse(input).map_err(|e| e.to_string())?;
    let config = config(settings)?;
    let text = explain_graph(graph.clone(), &layouts(&graph)?, &config, Level::Graph).map_err(|e| e.to_string())?;
    // The target is the machine's.
    Ok(text.to_string().replace(config.target.name(), "TARGET"))
}

/// One `.lzt` file.
struct File {
    header: String,
    command: &'static Command,
    settings: Settings,
    /// Input and expected output of each case.
    cases: Vec<(String, String)>,
}

fn read(text: &str) -> Result<File, String> {
    let (header, body) = text.split_once("\n\n").ok_or("no blank line after the header")?;
    let mut command = None;
    let mut settings = Settings::new();
    for line in header.lines() {
        if let Some(name) = line.strip_prefix("test ") {
            command = COMMANDS.iter().find(|c| c.name == name.trim());
        } else if let Some((key, value)) = line.split_once(':') {
            settings.insert(key.trim().to_owned(), value.trim().to_owned());
        } else {
            return Err(format!("neither 'test COMMAND' nor 'key: value': {line}"));
        }
    }
    let command = command.ok_or_else(|| {
        let names: Vec<&str> = COMMANDS.iter().map(|c| c.name).collect();
        format!("the header names no command; known are {}", names.join(", "))
    })?;
    if let Some(key) = settings.keys().find(|k| !command.settings.contains(&k.as_str())) {
        return Err(format!("test {} knows no setting '{key}'", command.name));
    }
    let cases = body.split("\n===\n").map(|case| match case.split_once("\n---") {
        Some((input, expected)) => (input.trim_matches('\n').to_owned(), expected.trim_matches('\n').to_owned()),
        None => (case.trim_matches('\n').to_owned(), String::new()),
    });
    Ok(File { header: header.to_owned(), command, settings, cases: cases.collect() })
}

/// Runs a file; with `bless`, gives the text it should have.
fn run(text: &str, bless: bool) -> Result<Option<String>, String> {
    let file = read(text)?;
    let mut blessed = file.header + "\n\n";
    let mut failures = String::new();
    for (i, (input, expected)) in file.cases.iter().enumerate() {
        let actual = (file.command.run)(&file.settings, input).map_err(|e| format!("case {}: {e}", i + 1))?;
        let actual = actual.trim_matches('\n');
        if actual != expected {
            let _ = write!(failures, "case {}:\n{input}\n---\n{}", i + 1, diff(expected, actual));
        }
        let _ = write!(blessed, "{}{input}\n---\n{actual}\n", if i > 0 { "\n===\n" } else { "" });
    }
    match (bless, failures.is_empty()) {
        (true, _) => Ok(Some(blessed)),
        (false, true) => Ok(None),
        (false, false) => Err(failures),
    }
}

/// The lines that were expected (`-`) and that came (`+`), with what they have in common around them.
fn diff(expected: &str, actual: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(x, y)| x == y).count();
    let lines = |mark: char, lines: &[&str]| lines.iter().map(|l| format!("{mark} {l}\n")).collect::<String>();
    let differ = lines('-', &a[head..a.len() - tail]) + &lines('+', &b[head..b.len() - tail]);
    lines(' ', &a[..head]) + &differ + &lines(' ', &a[a.len() - tail..])
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "lzt") {
            files.push(path);
        }
    }
    Ok(())
}

#[test]
fn filetests() {
    let bless = std::env::var_os("BLESS").is_some_and(|v| v != "0");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests");
    let mut files = Vec::new();
    find(&root, &mut files).expect("the folder of filetests can be read");
    files.sort();
    assert!(!files.is_empty(), "no filetests in {}", root.display());
    let mut failures = String::new();
    for path in &files {
        let name = path.strip_prefix(&root).unwrap_or(path).display();
        let text = std::fs::read_to_string(path).expect("a filetest can be read");
        match run(&text, bless) {
            Ok(Some(blessed)) if blessed != text => std::fs::write(path, blessed).expect("a filetest can be written"),
            Ok(_) => {}
            Err(e) => {
                let _ = writeln!(failures, "== {name}\n{e}");
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}\nBLESS=1 accepts what came");
}

#[test]
fn the_harness_notices() {
    let head = "test parse\n\n%0 = input 0 : f64[]\nreturn %0\n---\n";
    assert!(run(&format!("{head}%0 = input 0 : f64[]\nreturn %0\n"), false).is_ok());
    let wrong = run(&format!("{head}%0 = input 1 : f64[]\nreturn %0\n"), false).unwrap_err();
    assert!(wrong.contains("- %0 = input 1 : f64[]\n+ %0 = input 0 : f64[]\n  return %0\n"), "{wrong}");
    assert!(run("test fly\n\nreturn\n---\nreturn\n", false).unwrap_err().contains("known are parse"));
    assert!(run("test parse\nspeed: 3\n\nreturn\n---\nreturn\n", false).unwrap_err().contains("no setting 'speed'"));
    assert!(run("test verify\n\nreturn %0\n---\n", false).unwrap_err().contains("not defined"));
}
