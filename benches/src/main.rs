//! The harness of the benchmarks: times Lazuli and its peers by turns, on the workloads of `benches/workloads/`.
//!
//! ```text
//! workload -> inputs, NumPy's result   client (peers.py, lazuli-bench-ndarray), subject (Lazuli)
//!          -> checked, timed by turns  contest, timing, stats
//!          -> record                   measure; beside it roofline, cold, backends, shared, incache, overhead
//!          -> what it shows            summary, table, page, svg
//! two versions -> by turns             serve, compare, noise
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

mod backends;
mod client;
mod cold;
mod compare;
mod contest;
mod flops;
mod incache;
mod inputs;
mod machine;
mod measure;
mod noise;
mod options;
mod overhead;
mod page;
mod recipe;
mod record;
mod roofline;
mod serve;
mod shared;
mod stats;
mod subject;
mod summary;
mod svg;
mod table;
mod timing;
mod workload;

use options::{CompareOptions, Options};
use record::Record;
use workload::Workload;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        Some((command, rest)) if command == "run" => Options::parse(rest).and_then(|options| run(&options)),
        Some((command, [file])) if command == "page" => make_page(Path::new(file)),
        Some((command, [])) if command == "serve" => serve::serve(),
        Some((command, rest)) if command == "compare" => {
            CompareOptions::parse(rest).and_then(|options| compare::compare(&options))
        }
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
    let record = measure::everything(options, root, &workloads, start)?;
    println!("\n{:.0} s", record.machine.seconds);
    println!("\nOf what was measured:\n{}", summary::text(&summary::claims(&record)));
    if options.writes() {
        println!("written: {}", record.write(&root.join("benches").join("results"))?.display());
        write_page(root, &record, &workloads)?;
    }
    Ok(())
}

/// Writes the page and its chart.
fn write_page(root: &Path, record: &Record, workloads: &[Workload]) -> Result<(), String> {
    let docs = root.join("docs");
    for (name, text) in [("benchmarks.md", page::page(record, workloads)), (page::CHART, page::chart(record))] {
        let path = docs.join(name);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(())
}

/// Makes the page again from a record.
fn make_page(file: &Path) -> Result<(), String> {
    let root = Path::new(".");
    let workloads = workload::load(&root.join("benches").join("workloads"), "")?;
    write_page(root, &Record::read(file)?, &workloads)
}
