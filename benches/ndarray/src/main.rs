//! The peer in Rust: what a user of `ndarray` writes by hand, behind the line protocol that `benches/README.md`
//! describes. `cargo xtask bench` builds it for this machine's CPU, as such a user would.
//!
//! usage: `lazuli-bench-ndarray [--threads N]`

use ndarray::ArrayD;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

mod npy;
mod workloads;

use npy::Stored;
use workloads::{Element, Task};

/// A sample is as many calls as take this long, so that the clock costs nothing.
const SAMPLE: Duration = Duration::from_micros(500);

/// What is timed.
type Call = Box<dyn FnMut()>;

/// What is loaded: the contestants, each checked as it is prepared.
#[derive(Default)]
struct Server {
    loaded: Vec<(&'static str, Prepare)>,
    ready: Vec<(String, Call, usize)>,
}

/// Runs a contestant once and compares its result.
type Prepare = Box<dyn FnOnce() -> Result<Call, String>>;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let threads = match args.as_slice() {
        [] => 0,
        [option, n] if option == "--threads" => n.parse().map_err(|e| format!("--threads {n}: {e}"))?,
        _ => return Err("usage: lazuli-bench-ndarray [--threads N]".to_owned()),
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|e| e.to_string())?;
    let mut server = Server::default();
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        let words: Vec<&str> = line.split('\t').collect();
        let answer = match words.as_slice() {
            ["quit"] => break,
            ["hello"] => Ok(format!("lazuli-bench 2 contestants=ndarray,ndarray_out ndarray={}", version())),
            ["load", workload, dtype, _n, folder] => server.load(workload, dtype, Path::new(folder)),
            ["prepare", name] => server.prepare(name),
            ["run", name, seconds] => server.run(name, seconds),
            _ => Err(format!("unknown command '{line}'")),
        };
        let answer = answer.unwrap_or_else(|text| format!("error {}", text.replace('\n', " ")));
        writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// The version of `ndarray` that this was built with.
fn version() -> &'static str {
    let lock = include_str!("../../../Cargo.lock");
    let rest = lock.split_once("name = \"ndarray\"\nversion = \"").map_or("", |(_, rest)| rest);
    rest.split_once('"').map_or("unknown", |(version, _)| version)
}

impl Server {
    fn load(&mut self, workload: &str, dtype: &str, folder: &Path) -> Result<String, String> {
        // The old arrays go before the new ones come.
        *self = Server::default();
        self.loaded = match dtype {
            "float64" => contestants::<f64>(workload, folder)?,
            "float32" => contestants::<f32>(workload, folder)?,
            "int32" => contestants::<i32>(workload, folder)?,
            _ => Vec::new(),
        };
        Ok("ok".to_owned())
    }

    fn prepare(&mut self, name: &str) -> Result<String, String> {
        let Some(at) = self.loaded.iter().position(|(known, _)| *known == name) else {
            return Ok("none no loops are written down for it".to_owned());
        };
        let (_, prepare) = self.loaded.swap_remove(at);
        let mut call = match prepare() {
            Ok(call) => call,
            Err(why) => return Ok(format!("none {why}")),
        };
        let start = Instant::now();
        call();
        let one = start.elapsed().max(Duration::from_nanos(20));
        let bundle = (SAMPLE.as_nanos() / one.as_nanos()).clamp(1, 20_000) as usize;
        self.ready.push((name.to_owned(), call, bundle));
        Ok("ok 0".to_owned())
    }

    fn run(&mut self, name: &str, seconds: &str) -> Result<String, String> {
        let seconds: f64 = seconds.parse().map_err(|e| format!("'{seconds}': {e}"))?;
        let ready = self.ready.iter_mut().find(|(known, ..)| known == name);
        let (_, call, bundle) = ready.ok_or_else(|| format!("'{name}' is not prepared"))?;
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut answer = String::from("ns");
        loop {
            let start = Instant::now();
            for _ in 0..*bundle {
                call();
            }
            answer += &format!(" {:.1}", start.elapsed().as_nanos() as f64 / *bundle as f64);
            if Instant::now() >= end {
                return Ok(answer);
            }
        }
    }
}

/// The contestants of a workload: with an output of its own for each call, and into one that is kept.
fn contestants<T: Element + Stored>(workload: &str, folder: &Path) -> Result<Vec<(&'static str, Prepare)>, String> {
    let read = |name: &str| npy::read::<T>(&folder.join(format!("{name}.npy")));
    let Some(names) = workloads::inputs(workload) else { return Ok(Vec::new()) };
    let inputs = names.iter().map(|name| read(name)).collect::<Result<Vec<_>, _>>()?;
    let Some(Task { mut fresh, reused }) = T::task(workload, &inputs) else { return Ok(Vec::new()) };
    let expected = read("expected")?;
    let shape = expected.raw_dim();
    let other = expected.clone();
    let mut all: Vec<(&'static str, Prepare)> = vec![(
        "ndarray",
        Box::new(move || {
            check(&fresh(), &other)?;
            Ok(Box::new(move || drop(std::hint::black_box(fresh()))))
        }),
    )];
    if let Some(mut reused) = reused {
        all.push((
            "ndarray_out",
            Box::new(move || {
                let mut out = ArrayD::from_elem(shape, T::default());
                reused(&mut out);
                check(&out, &expected)?;
                Ok(Box::new(move || {
                    reused(&mut out);
                    std::hint::black_box(&mut out);
                }))
            }),
        ));
    }
    Ok(all)
}

fn check<T: Element>(got: &ArrayD<T>, expected: &ArrayD<T>) -> Result<(), String> {
    let near = |(x, y): (&T, &T)| x.to_f64() == y.to_f64() || x.distance(*y) <= T::TOLERANCE;
    match got.shape() == expected.shape() && got.iter().zip(expected).all(near) {
        true => Ok(()),
        false => Err("its result differs from NumPy's".to_owned()),
    }
}
