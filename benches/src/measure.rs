//! A run: every measurement in its order.

use crate::contest::{self, Peers};
use crate::options::Options;
use crate::record::Record;
use crate::roofline::{self, Roof, Triad};
use crate::workload::Workload;
use crate::{backends, cold, incache, machine, overhead, shared, table};
use lazuli_engine::Config;
use std::path::Path;
use std::time::Instant;

/// Measures all that is asked for, and prints the table as it comes.
pub(crate) fn everything(
    options: &Options,
    root: &Path,
    workloads: &[Workload],
    start: Instant,
) -> Result<Record, String> {
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        n => n,
    };
    let config = Config::default().threads(threads);
    let mut peers = Peers::start(options, root, threads)?;
    let mut record = Record { machine: machine::here(threads), ..Record::default() };
    record.machine.versions = peers.versions.clone();
    record.machine.contestants = peers.names();

    // The roof may sink and rise with the neighbours: it is looked at before, amid and after.
    let seconds = if options.quick { 0.02 } else { 0.4 };
    let mut triad = Triad::new(Triad::elements())?;
    let look = |roof: Roof, triad: &mut Triad| Ok::<_, String>(roof.best(roofline::measure(triad, threads, seconds)?));
    record.roof = look(record.roof, &mut triad)?;
    println!("{}", table::header(&record.machine.contestants));
    for (i, workload) in workloads.iter().enumerate() {
        contests(options, workload, &mut peers, &mut triad, &config, &mut record)?;
        if i == workloads.len() / 2 {
            record.roof = look(record.roof, &mut triad)?;
        }
    }
    drop(peers);
    for workload in workloads {
        for dtype in &workload.dtypes {
            let place = |e: String| format!("{}/{dtype}: {e}", workload.name);
            record.backends.push(backends::measure(workload, dtype, &config, options.quick).map_err(place)?);
        }
        let dtype = &workload.dtypes[0];
        record.shared.push(shared::measure(workload, dtype, &config, options.quick)?);
        if workload.name == incache::WORKLOAD {
            record.incache = incache::measure(workload, &config, options.quick)?;
        }
    }
    record.overheads = overhead::measure(&config, options.quick)?;
    record.roof = look(record.roof, &mut triad)?;
    record.machine.seconds = start.elapsed().as_secs_f64();
    Ok(record)
}

/// One workload at each dtype and size.
fn contests(
    options: &Options,
    workload: &Workload,
    peers: &mut Peers,
    triad: &mut Triad,
    config: &Config,
    record: &mut Record,
) -> Result<(), String> {
    // The smallest come first: there, a peer's first call is its compilation and nothing else.
    let mut sizes = if options.sizes.is_empty() { workload.sizes.clone() } else { options.sizes.clone() };
    sizes.sort_unstable();
    for dtype in &workload.dtypes {
        for (i, &n) in sizes.iter().enumerate() {
            let place = |e: String| format!("{}/{dtype}/{n}: {e}", workload.name);
            let done = contest::cell(workload, dtype, n, peers, triad, config, options.quick).map_err(place)?;
            println!("{}", table::line(&done.cell, &record.machine.contestants));
            record.cells.push(done.cell);
            if i == 0 {
                record.cold.push(cold::measure(workload, dtype, done.first, config, options.quick).map_err(place)?);
            }
        }
    }
    Ok(())
}
