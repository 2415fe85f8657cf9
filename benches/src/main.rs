//! The harness of the benchmarks: times Lazuli and its peers by turns, on the workloads of `benches/workloads/`.
//!
//! ```text
//! workload -> inputs, NumPy's result   client (peers.py, lazuli-bench-ndarray), subject (Lazuli)
//!          -> checked, timed by turns  contest, timing, stats
//!          -> record                   benches/results/
//!          -> table, page              table
//! ```

use lazuli_engine::Config;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

mod client;
mod contest;
mod machine;
mod options;
mod record;
mod stats;
mod subject;
mod table;
mod timing;
mod workload;

use options::Options;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        Some((command, rest)) if command == "run" => Options::parse(rest).and_then(|options| run(&options)),
        _ => Err(options::USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let start = Instant::now();
    let root = Path::new(".");
    let workloads = workload::load(&root.join("benches").join("workloads"), &options.filter)?;
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        n => n,
    };
    let config = Config::default().threads(threads);
    let mut peers = contest::Peers::start(options, root, threads)?;
    let contestants = peers.names();
    let mut record = record::Record { machine: machine::here(threads), ..record::Record::default() };
    record.machine.versions = peers.versions.clone();
    record.machine.contestants = contestants.clone();

    println!("{}", table::header(&contestants));
    for workload in &workloads {
        let sizes = if options.sizes.is_empty() { &workload.sizes } else { &options.sizes };
        for dtype in &workload.dtypes {
            for &n in sizes {
                let place = |e: String| format!("{}/{dtype}/{n}: {e}", workload.name);
                let done = contest::cell(workload, dtype, n, &mut peers, &config, options.quick).map_err(place)?;
                println!("{}", table::line(&done.cell, &contestants));
                record.cells.push(done.cell);
            }
        }
    }
    record.machine.seconds = start.elapsed().as_secs_f64();
    println!("\n{:.0} s", record.machine.seconds);
    if options.writes() {
        println!("written: {}", record.write(&root.join("benches").join("results"))?.display());
    }
    Ok(())
}
