//! The table, on the terminal and as the page `docs/benchmarks.md`.

use crate::overhead::Overhead;
use crate::workload::Workload;
use std::process::Command;

/// The figures of one workload at one size: milliseconds of the best run.
pub(crate) struct Row {
    workload: String,
    dtype: String,
    n: usize,
    /// Lazuli, built and computed each time.
    pub(crate) compute: f64,
    /// Lazuli, a `Function` called.
    pub(crate) call: f64,
    /// The peers; none where one cannot do it.
    pub(crate) peers: Vec<Option<f64>>,
}

impl Row {
    pub(crate) fn new(workload: &str, dtype: &str, n: usize, peers: usize) -> Row {
        let (workload, dtype) = (workload.to_owned(), dtype.to_owned());
        Row { workload, dtype, n, compute: f64::INFINITY, call: f64::INFINITY, peers: vec![None; peers] }
    }

    /// How many times as fast as the fastest peer, computing anew.
    fn ratio(&self) -> Option<f64> {
        self.peers.iter().flatten().copied().reduce(f64::min).map(|best| best / self.compute)
    }
}

/// All rows.
pub(crate) struct Table {
    peers: Vec<String>,
    rows: Vec<Row>,
}

fn ms(x: f64) -> String {
    format!("{x:.4}")
}

impl Table {
    pub(crate) fn new(peers: Vec<String>) -> Table {
        Table { peers, rows: Vec::new() }
    }

    pub(crate) fn peers(&self) -> &[String] {
        &self.peers
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        ["compute", "call"].into_iter().chain(self.peers.iter().map(String::as_str)).chain(["best peer / compute"])
    }

    fn cells(row: &Row) -> Vec<String> {
        let peers = row.peers.iter().map(|p| p.map_or("-".to_owned(), ms));
        let ratio = row.ratio().map_or("-".to_owned(), |r| format!("{r:.2}"));
        [ms(row.compute), ms(row.call)].into_iter().chain(peers).chain([ratio]).collect()
    }

    /// The first line on the terminal.
    pub(crate) fn header(&self) -> String {
        let columns: String = self.columns().map(|c| format!(" {c:>10}")).collect();
        format!("{:32}{columns}   (ms, best run)", "workload/dtype/n")
    }

    /// Takes a row, and gives it as a line.
    pub(crate) fn push(&mut self, row: Row) -> String {
        let cells: String = Table::cells(&row).iter().map(|c| format!(" {c:>10}")).collect();
        let line = format!("{:32}{cells}", format!("{}/{}/{}", row.workload, row.dtype, row.n));
        self.rows.push(row);
        line
    }

    fn markdown(&self) -> String {
        let columns: Vec<&str> = self.columns().collect();
        let mut out = format!("| workload | dtype | n | {} |\n", columns.join(" | "));
        out += &format!("|---|---|--:|{}\n", "--:|".repeat(columns.len()));
        for row in &self.rows {
            let cells = Table::cells(row).join(" | ");
            out += &format!("| {} | {} | {} | {cells} |\n", row.workload, row.dtype, row.n);
        }
        out
    }
}

/// The page.
pub(crate) fn page(
    table: &Table,
    workloads: &[Workload],
    overheads: &[Overhead],
    versions: &[(String, String)],
    threads: usize,
) -> String {
    let mut out = String::from("<!-- Written by `cargo xtask bench`. -->\n# Benchmarks\n\n");
    out += "Milliseconds of the best run, Lazuli and its peers by turns in one run on one machine; smaller is better.\n\
            `compute` builds the expression and computes it, each time anew; `call` calls a `Function` that was made\n\
            once. Results were compared with NumPy's before they were timed. numexpr takes literals as `float64`, also\n\
            beside `float32` arrays.\n\n";
    out += &format!("- machine: {}, {threads} hardware threads, {}\n", cpu(), std::env::consts::OS);
    out += &format!("- commit: {}\n", commit());
    let versions: Vec<String> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    out += &format!("- versions: {}\n\n", versions.join(", "));
    out += &table.markdown();
    out += "\n## Overheads\n\nAn expression of ten elementwise operations on 1000 elements of `float64`.\n\n\
            | | µs |\n|---|--:|\n";
    for o in overheads {
        out += &format!("| {} | {:.2} |\n", o.what, o.microseconds);
    }
    out += "\n## Workloads\n\n| | what it is | formula |\n|---|---|---|\n";
    for w in workloads {
        let formula = w.formula.trim().replace('\n', "; ").replace('|', "\\|");
        out += &format!("| {} | {} | `{formula}` |\n", w.name, w.doc);
    }
    out
}

/// The processor's name, where the system tells.
fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|l| l.starts_with("model name"));
    let name = line.and_then(|l| l.split_once(':')).map(|(_, name)| name.trim().to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The commit that is checked out, and whether files differ from it.
fn commit() -> String {
    let git = |args: &[&str]| Command::new("git").args(args).output().ok().filter(|o| o.status.success());
    let text = |o: std::process::Output| String::from_utf8_lossy(&o.stdout).trim().to_owned();
    match git(&["rev-parse", "--short=12", "HEAD"]).map(text) {
        Some(id) if git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|o| o.stdout.is_empty()) => id,
        Some(id) => format!("{id}, with changes"),
        None => "unknown".to_owned(),
    }
}
