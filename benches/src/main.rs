//! Times Lazuli and its peers by turns, on the workloads of `benches/workloads/`.
//!
//! usage: `lazuli-bench --python PYTHON [--filter TEXT] [--quick]`, from the root of the project; `cargo xtask bench`
//! builds and runs it. Each result is compared with NumPy's before it is timed.

use lazuli_cli::lang::{self, Env, Value};
use lazuli_engine::{Config, Function, compute, data};
use lazuli_graph::Expr;
use lazuli_runtime::{Tensor, npy};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

mod overhead;
mod page;
mod peers;
mod time;
mod workload;

use peers::Peers;
use workload::Workload;

/// The rounds in which everyone has its turn, and the seconds of a turn.
const ROUNDS: usize = 3;
const TURN: f64 = 0.25;

struct Options {
    python: String,
    filter: String,
    quick: bool,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options { python: String::new(), filter: String::new(), quick: false };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "--python" => options.python = value()?,
                "--filter" => options.filter = value()?,
                "--quick" => options.quick = true,
                _ => return Err(format!("unknown option '{arg}'; known are --python, --filter, --quick")),
            }
        }
        match options.python.is_empty() {
            true => Err("--python is missing: the Python that has NumPy".to_owned()),
            false => Ok(options),
        }
    }

    /// Whether this run makes a page: the whole, in earnest.
    fn page(&self) -> bool {
        self.filter.is_empty() && !self.quick
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let options = Options::parse(std::env::args().skip(1))?;
    let root = Path::new(".");
    let workloads = workload::load(&root.join("benches").join("workloads"), &options.filter)?;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let config = Config::default().threads(threads);
    let mut peers = Peers::start(&options.python, root, threads)?;
    let versions = peers.versions()?;
    let names: Vec<String> = versions.iter().map(|(name, _)| name.clone()).filter(|n| n != "python").collect();

    let mut table = page::Table::new(names);
    println!("{}", table.header());
    for workload in &workloads {
        for &n in &workload.sizes {
            for dtype in &workload.dtypes {
                let row = time_row(workload, dtype, n, &mut peers, table.peers(), &config, options.quick)?;
                println!("{}", table.push(row));
            }
        }
    }
    drop(peers);
    let overheads = overhead::measure(&config, options.quick)?;
    println!("\n{}", overhead::text(&overheads));
    if options.page() {
        let path = root.join("docs").join("benchmarks.md");
        let text = page::page(&table, &workloads, &overheads, &versions, threads);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(())
}

/// Evaluates a parsed formula on arrays.
fn evaluate(program: &lang::ast::Program, names: &[String], arrays: &[Expr]) -> Result<Expr, String> {
    let names = names.iter().cloned().zip(arrays.iter().cloned().map(Value::Array)).collect();
    let env = Env { names, new_array: &|_, _, _| unreachable!("formulas hold no lists") };
    let outcome = lang::eval(program, &env).map_err(|e| e.to_string())?;
    outcome.results.into_iter().next_back().map(|(_, e)| e).ok_or_else(|| "an empty formula".to_owned())
}

/// Checks and times one workload at one size.
fn time_row(
    workload: &Workload,
    dtype: &str,
    n: usize,
    peers: &mut Peers,
    names: &[String],
    config: &Config,
    quick: bool,
) -> Result<page::Row, String> {
    let place = |e: &dyn std::fmt::Display| format!("{} {dtype} {n}: {e}", workload.name);
    let dir = tempfile::tempdir().map_err(|e| place(&e))?;
    let inputs = peers.load(&workload.name, dtype, n, dir.path())?;
    let read = |name: &str| npy::read(dir.path().join(format!("{name}.npy"))).map_err(|e| place(&e));
    let tensors = inputs.iter().map(|name| read(name)).collect::<Result<Vec<Tensor>, _>>()?;
    let expected = read("expected")?;

    let program = Arc::new(lang::parse(&workload.name, &workload.formula).map_err(|e| place(&e))?);
    let lazily = || -> Result<Tensor, String> {
        let arrays: Vec<Expr> = tensors.iter().cloned().map(data).collect();
        let result = evaluate(&program, &inputs, &arrays)?;
        compute(&[result], config).map(|mut all| all.remove(0)).map_err(|e| place(&e))
    };
    let (body_program, body_inputs) = (program.clone(), inputs.clone());
    let function = Function::new(tensors.len(), move |arrays| {
        let result = evaluate(&body_program, &body_inputs, arrays).map_err(lazuli_engine::Error::Call)?;
        Ok(vec![result])
    });
    let call = || function.call(&tensors, config).map_err(|e| place(&e));

    close(&lazily()?, &expected).map_err(|e| place(&e))?;
    close(&call()?[0], &expected).map_err(|e| place(&e))?;

    let mut row = page::Row::new(&workload.name, dtype, n, names.len());
    let (rounds, turn) = if quick { (1, 0.01) } else { (ROUNDS, TURN) };
    for _ in 0..rounds {
        row.compute = row.compute.min(time::best(turn, || lazily().map(drop))?);
        row.call = row.call.min(time::best(turn, || call().map(drop))?);
        for (i, name) in names.iter().enumerate() {
            if let Ok(ms) = peers.run(name, turn)? {
                row.peers[i] = Some(row.peers[i].map_or(ms, |had: f64| had.min(ms)));
            }
        }
    }
    Ok(row)
}

/// Whether a result is NumPy's, up to what another order of summation and another last bit of functions make of it.
fn close(got: &Tensor, expected: &Tensor) -> Result<(), String> {
    if got.dtype() != expected.dtype() || got.shape() != expected.shape() {
        let (g, e) = ((got.dtype(), got.shape()), (expected.dtype(), expected.shape()));
        return Err(format!("the result is {}{}, NumPy's is {}{}", g.0, g.1, e.0, e.1));
    }
    let tolerance = match got.dtype() {
        lazuli_graph::DType::F32 => 1e-3,
        lazuli_graph::DType::F64 => 1e-9,
        _ => 0.0,
    };
    for (i, (g, e)) in got.iter_scalars().zip(expected.iter_scalars()).enumerate() {
        let (x, y) = (g.as_f64(), e.as_f64());
        let near = (x - y).abs() <= tolerance * (1.0 + y.abs());
        if g != e && !near {
            return Err(format!("element {i} is {g}, NumPy's is {e}"));
        }
    }
    Ok(())
}
