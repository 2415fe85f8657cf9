//! The page `docs/benchmarks.md` and its chart, made from a record.

use crate::contest::{OURS, Ours};
use crate::record::{Cell, Record};
use crate::summary::{self, bandwidth_share, ratio, roof_share, triad};
use crate::svg::{self, Group, Series};
use crate::table::short;
use crate::workload::Workload;
use crate::{backends, cold, flops, incache, shared};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The chart's file, beside the page.
pub(crate) const CHART: &str = "benchmarks.svg";

/// The ratio that the chart shows: to the best peer, Rust's too.
fn charted(n: usize) -> Ours {
    if n <= 1000 { Ours::Call } else { Ours::Compute }
}

/// The chart.
pub(crate) fn chart(record: &Record) -> String {
    const COLORS: [&str; 6] = ["#1f5fa8", "#5fa8d3", "#b9d7ea", "#8a8a8a", "#b0b0b0", "#d0d0d0"];
    let sizes = record.sizes();
    let series = |(&n, color): (&usize, _)| Series { name: format!("{n} ({})", charted(n).name()), color };
    let series: Vec<Series> = sizes.iter().zip(COLORS).map(series).collect();
    let mut seen = BTreeSet::new();
    let labels: Vec<&Cell> = record.cells.iter().filter(|c| seen.insert(c.label())).collect();
    let bar = |label: &str, n: usize| {
        let cell = record.cells.iter().find(|c| c.n == n && c.label() == label)?;
        Some(ratio(cell, &record.machine.contestants, charted(n), |_| true)?.ratio)
    };
    let group = |c: &&Cell| {
        let label = c.label();
        let ratios = sizes.iter().take(COLORS.len()).map(|&n| bar(&label, n)).collect();
        Group { label: label.replace("float", "f").replace("int", "i"), ratios }
    };
    let groups: Vec<Group> = labels.iter().map(group).collect();
    svg::ratios("Speed of Lazuli, the best peer of each workload being 1", &series, &groups)
}

/// A table in Markdown.
struct Table(String);

impl Table {
    fn new(text: usize, columns: &[String]) -> Table {
        let rule = |i: usize| if i < text { "---|" } else { "--:|" };
        let rules: String = (0..columns.len()).map(rule).collect();
        Table(format!("| {} |\n|{rules}\n", columns.join(" | ")))
    }

    fn row(&mut self, cells: &[String]) {
        self.0 += &format!("| {} |\n", cells.join(" | "));
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|w| (*w).to_owned()).collect()
}

/// The page.
pub(crate) fn page(record: &Record, workloads: &[Workload]) -> String {
    let mut out = String::from("<!-- Written by `cargo xtask bench` from the newest file in `benches/results/`. -->\n");
    out += "# Benchmarks\n\n";
    head(record, &mut out);
    promises(record, &mut out);
    for n in record.sizes() {
        size(record, n, &mut out);
    }
    absences(record, &mut out);
    roofline(record, &mut out);
    cold_table(record, &mut out);
    backends_table(record, &mut out);
    threads(record, &mut out);
    overheads(record, &mut out);
    formulas(workloads, &mut out);
    out
}

fn head(record: &Record, out: &mut String) {
    let m = &record.machine;
    *out += "Lazuli and its peers by turns in one run on one machine: only ratios within a run mean much. Times are of\n\
             the best of many samples. Everyone's arrays are made once. `compute` builds the expression, call by call as a\n\
             program does, and computes it, each time anew; `call` calls a `Function` made once, `call_1` with one thread.\n\
             They keep the precision `Standard`; `fast` is `compute` in `Fast`, which may contract a product and a sum and\n\
             multiply with reciprocals, as Numba's loops may (`fastmath`). `numba` and `ndarray` are loops fused by hand; with\n\
             `_out` they write into one array again and again. Each result was compared with NumPy's before it was timed.\n\n";
    let changes = if m.dirty { ", with changes" } else { "" };
    let versions: Vec<String> = m.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    *out += &format!("- machine: {}, {} threads, {}\n", m.cpu, m.threads, m.os);
    *out += &format!("- {}, commit {}{changes}\n- versions: {}\n", m.date, m.commit, versions.join(", "));
    *out += &format!("- the run, `cargo xtask bench`, took {:.0} minutes\n\n", (m.seconds / 60.0).ceil());
    *out += &format!("![The ratios below as bars]({CHART})\n\n");
}

fn promises(record: &Record, out: &mut String) {
    *out += "## What is aimed at, and what this run shows\n\n";
    let mut table = Table::new(1, &words(&["", "shown", "aim", "", "of", "command"]));
    for c in summary::claims(record) {
        let verdict = if c.met() { "met".to_owned() } else { format!("**{}**", c.verdict()) };
        table.row(&[c.what.clone(), c.unit.show(c.value), c.goal(), verdict, c.of.clone(), format!("`{}`", c.command)]);
    }
    *out += &table.0;
    *out +=
        "\nEach command measures what its line needs and prints the line; the whole table is `cargo xtask bench`.\n\n";
}

fn size(record: &Record, n: usize, out: &mut String) {
    let _ = writeln!(out, "## {n} elements\n");
    // Records of earlier versions have fewer.
    let timed = |o: &Ours| record.cells.iter().any(|c| c.times.contains_key(o.name()));
    let ours: Vec<Ours> = OURS.into_iter().filter(timed).collect();
    let contestants = &record.machine.contestants;
    let mut columns = words(&["workload"]);
    columns.extend(ours.iter().map(|o| o.name().to_owned()).chain(contestants.iter().cloned()));
    columns.extend(words(&["best peer / compute", "/ call"]));
    let mut table = Table::new(1, &columns);
    for cell in record.cells.iter().filter(|c| c.n == n) {
        let names = ours.iter().map(|o| o.name()).chain(contestants.iter().map(String::as_str));
        let mut cells = vec![cell.label()];
        cells.extend(names.map(|name| cell.best(name).map_or("-".to_owned(), short)));
        for ours in [Ours::Compute, Ours::Call] {
            let ratio = ratio(cell, contestants, ours, |_| true);
            cells.push(ratio.map_or("-".to_owned(), |r| format!("{:.2} ({})", r.ratio, r.peer)));
        }
        table.row(&cells);
    }
    *out += &table.0;
    *out += "\n";
}

fn absences(record: &Record, out: &mut String) {
    let reasons = record.cells.iter().flat_map(|c| c.none.iter().map(|(peer, why)| (peer, why, c.workload.as_str())));
    let mut grouped: std::collections::BTreeMap<(&str, &str), BTreeSet<&str>> = Default::default();
    for (peer, why, workload) in reasons {
        grouped.entry((peer, why)).or_default().insert(workload);
    }
    if grouped.is_empty() {
        return;
    }
    *out += "Where a peer has no time:\n\n";
    for ((peer, why), workloads) in grouped {
        let all: Vec<&str> = workloads.into_iter().collect();
        let _ = writeln!(out, "- `{peer}`: {why}: {}", all.join(", "));
    }
    *out += "\n";
}

fn roofline(record: &Record, out: &mut String) {
    let r = &record.roof;
    let giga = |x: f64| format!("{:.1}", x / 1e9);
    *out += "## Roofline\n\nMeasured in the same run, the best of plain and non-temporal stores for the triad:\n\n";
    let mut table = Table::new(1, &words(&["", "one thread", "all threads"]));
    table.row(&["STREAM triad, GB/s".to_owned(), giga(r.triad_1), giga(r.triad_all)]);
    table.row(&["FMA peak `float64`, Gflop/s".to_owned(), giga(r.fma_f64_1), giga(r.fma_f64_all)]);
    table.row(&["FMA peak `float32`, Gflop/s".to_owned(), giga(r.fma_f32_1), giga(r.fma_f32_all)]);
    *out += &table.0;
    *out += "\nBytes that a workload must move, operations that it must do (functions at the nominal cost that\n\
             `benches/src/flops.rs` lists), and how much of what either roof allows `compute` reaches. The triad is the\n\
             best that it did by turns with the workload: memory may be twice as fast, or half, some minutes later. Where less\n\
             is moved than two caches hold, it is that of the run, marked with `*`. Loops that only read can move more than the\n\
             triad.\n\n";
    let Some(&n) = record.sizes().first() else { return };
    let columns = ["workload", "bound by", "MB", "Mflop", "GB/s", "triad", "of the triad", "Gflop/s", "of the roof"];
    let mut table = Table::new(2, &words(&columns));
    for cell in record.cells.iter().filter(|c| c.n == n) {
        let Some(ns) = cell.best(Ours::Compute.name()) else { continue };
        let percent = |share: Option<f64>| share.map_or("-".to_owned(), |s| format!("{:.0} %", s * 100.0));
        table.row(&[
            cell.label(),
            cell.bound.map_or("both".to_owned(), |b| format!("{b:?}").to_lowercase()),
            format!("{:.0}", cell.bytes / 1e6),
            format!("{:.0}", cell.flops / 1e6),
            format!("{:.1}", cell.bytes / ns),
            giga(triad(record, cell)) + if cell.triad.is_some() { "" } else { "*" },
            percent(bandwidth_share(record, cell, Ours::Compute)),
            format!("{:.1}", cell.flops / ns),
            percent(roof_share(record, cell, Ours::Compute)),
        ]);
    }
    *out += &table.0;
    *out += "\n";
    for row in &record.incache {
        let share = row.reached / row.peak * 100.0;
        let _ = writeln!(
            out,
            "- the polynomial of {} elements of `{}` in cache, one thread: {} of {} Gflop/s, {share:.0} %",
            incache::ELEMENTS,
            row.dtype,
            giga(row.reached),
            giga(row.peak)
        );
    }
    *out += "\n";
}

fn cold_table(record: &Record, out: &mut String) {
    let names: BTreeSet<&str> = record.cold.iter().flat_map(|c| c.first.keys().map(String::as_str)).collect();
    let own: Vec<&str> = cold::backends().into_iter().map(|(name, _)| name).collect();
    let peers = record.machine.contestants.iter().map(String::as_str);
    let names: Vec<&str> = own.into_iter().chain(peers).filter(|n| names.contains(n)).collect();
    let _ = writeln!(
        out,
        "## Cold\n\nThe first `compute()` of {} elements in a process that is warm (caches cleared; median of many), the\n\
         kernel's run included, beside the first call of what the peers compile.\n",
        cold::ELEMENTS
    );
    let mut columns = words(&["workload"]);
    columns.extend(names.iter().map(|n| (*n).to_owned()));
    let mut table = Table::new(1, &columns);
    for c in &record.cold {
        let mut cells = vec![format!("{} {}", c.workload, c.dtype)];
        cells.extend(names.iter().map(|&n| c.first.get(n).map_or("-".to_owned(), |&ns| short(ns))));
        table.row(&cells);
    }
    *out += &table.0;
    *out += "\n";
}

fn backends_table(record: &Record, out: &mut String) {
    let _ = writeln!(out, "## Backends\n\nCalls of {} elements; backend, target and threads.\n", backends::ELEMENTS);
    let names: BTreeSet<&str> = record.backends.iter().flat_map(|r| r.times.keys().map(String::as_str)).collect();
    let mut columns = words(&["workload"]);
    columns.extend(names.iter().map(|n| (*n).to_owned()));
    let mut table = Table::new(1, &columns);
    for row in &record.backends {
        let mut cells = vec![format!("{} {}", row.workload, row.dtype)];
        cells.extend(names.iter().map(|&n| row.times.get(n).map_or("-".to_owned(), |t| short(t.min))));
        table.row(&cells);
    }
    *out += &table.0;
    *out += "\n";
    let reasons: BTreeSet<String> = record
        .backends
        .iter()
        .flat_map(|r| r.none.iter().map(|(way, why)| format!("{}, {way}: {why}", r.workload)))
        .collect();
    for reason in reasons {
        let _ = writeln!(out, "- {reason}");
    }
}

fn threads(record: &Record, out: &mut String) {
    let _ = writeln!(
        out,
        "## Threads\n\nCalls of {} elements (median): alone, and while every core has a caller of its own.\n",
        shared::ELEMENTS
    );
    let columns = ["workload", "alone, 1 thread", "alone, all", "shared, 1 thread", "shared, all", "gain when shared"];
    let mut table = Table::new(1, &words(&columns));
    for r in &record.shared {
        let times = [r.alone_1, r.alone_all, r.shared_1, r.shared_all].map(short);
        let mut cells = vec![format!("{} {}", r.workload, r.dtype)];
        cells.extend(times);
        cells.push(format!("{:.2}", r.gain()));
        table.row(&cells);
    }
    *out += &table.0;
    *out += "\n";
}

fn overheads(record: &Record, out: &mut String) {
    *out += "## Overheads\n\nAn expression of ten elementwise operations on 1000 elements of `float64`.\n\n";
    let mut table = Table::new(1, &words(&["", "µs"]));
    for o in &record.overheads {
        table.row(&[o.what.clone(), format!("{:.2}", o.microseconds)]);
    }
    *out += &table.0;
    *out += "\n";
}

fn formulas(workloads: &[Workload], out: &mut String) {
    *out += "## Workloads\n\n";
    let mut table = Table::new(3, &words(&["", "what it is", "formula", "flops an element"]));
    for w in workloads {
        let formula = w.formula.trim().replace('\n', "; ").replace('|', "\\|");
        table.row(&[w.name.clone(), w.doc.clone(), format!("`{formula}`"), format!("{}", flops::per_element(w))]);
    }
    *out += &table.0;
    *out += "\nNumPy, numexpr, JAX and PyTorch (`torch.compile`) evaluate the formula; Numba's loops are made from it or\n\
             stand in the workload's file; those for `ndarray` in `benches/ndarray/`, compiled for this CPU.\n";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Time;

    #[test]
    fn a_page_has_every_figure() {
        let time = |t| Time { min: t, median: t };
        let cell = |n: usize, ours: f64| Cell {
            workload: "axpy".to_owned(),
            dtype: "float64".to_owned(),
            n,
            bytes: 24.0 * n as f64,
            flops: 2.0 * n as f64,
            times: [("compute".to_owned(), time(ours)), ("numpy".to_owned(), time(2e6))].into(),
            none: [("torch".to_owned(), "not installed".to_owned())].into(),
            ..Cell::default()
        };
        let mut record = Record { cells: vec![cell(10_000_000, 4e6), cell(100_000, 1e6)], ..Record::default() };
        record.machine.contestants = vec!["numpy".to_owned()];
        record.roof.triad_all = 100e9;
        let page = page(&record, &[]);
        assert!(page.contains("| axpy float64 | 4.00 ms | 2.00 ms | 0.50 (numpy) | - |"), "{page}");
        assert!(page.contains("**NOT MET**") && page.contains("| met |"), "{page}");
        assert!(page.contains("- `torch`: not installed: axpy"));
        assert!(page.contains("| 240 | 20 | 60.0 | 100.0* | 60 % |"), "{page}");
        let chart = chart(&record);
        assert!(chart.contains("axpy f64, 10000000 (compute): 0.50") && chart.contains("100000 (compute): 2.00"));
    }
}
