//! Workloads: the files of `benches/workloads/`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One workload; `benches/README.md` describes the fields. Those that only peers need are not read here.
#[derive(Deserialize, Debug)]
pub(crate) struct Workload {
    /// The file's name without its ending.
    #[serde(skip)]
    pub(crate) name: String,
    /// The file.
    #[serde(skip)]
    pub(crate) path: PathBuf,
    pub(crate) doc: String,
    pub(crate) formula: String,
    #[serde(default = "default_dtypes")]
    pub(crate) dtypes: Vec<String>,
    #[serde(default = "default_sizes")]
    pub(crate) sizes: Vec<usize>,
    /// Operations of floating point for each of the n elements, functions aside.
    pub(crate) flops: f64,
    /// How often the inputs must come from memory where they are larger than the caches.
    #[serde(default = "one")]
    pub(crate) reads: f64,
    /// What bounds it where the arrays are larger than the caches; none where neither clearly does.
    pub(crate) bound: Option<Bound>,
    pub(crate) inputs: BTreeMap<String, Input>,
}

/// What a workload waits for.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Bound {
    Memory,
    Arithmetic,
}

/// What an input is filled with.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    #[serde(default = "low")]
    pub(crate) low: f64,
    #[serde(default = "high")]
    pub(crate) high: f64,
    #[serde(default = "flat")]
    shape: Vec<Extent>,
}

/// One extent of a shape.
#[derive(Deserialize, Debug, Clone, PartialEq)]
#[serde(untagged)]
enum Extent {
    Number(usize),
    Word(String),
}

fn default_dtypes() -> Vec<String> {
    vec!["float64".to_owned(), "float32".to_owned()]
}

fn default_sizes() -> Vec<usize> {
    vec![10_000_000, 100_000, 1000]
}

fn one() -> f64 {
    1.0
}

fn low() -> f64 {
    0.1
}

fn high() -> f64 {
    2.0
}

fn flat() -> Vec<Extent> {
    vec![Extent::Word("n".to_owned())]
}

impl Input {
    /// The shape at a size.
    pub(crate) fn shape(&self, n: usize) -> Result<Vec<usize>, String> {
        let columns = if n >= 1_000_000 { 1000 } else { 100 };
        let extent = |e: &Extent| match e {
            Extent::Number(k) => Ok(*k),
            Extent::Word(word) => match word.as_str() {
                "n" => Ok(n),
                "sqrt" => Ok(n.isqrt()),
                "cols" => Ok(columns),
                "rows" => Ok(n / columns),
                _ => Err(format!("unknown extent '{word}'; known are n, sqrt, cols, rows")),
            },
        };
        self.shape.iter().map(extent).collect()
    }
}

impl Workload {
    /// Parses the text of a file.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Workload, String> {
        let mut workload: Workload = toml::from_str(text).map_err(|e| format!("{}: {e}", path.display()))?;
        workload.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        workload.path = path.to_owned();
        Ok(workload)
    }
}

/// The workloads of a folder of which `filter`, a list with commas, holds a part of the name; by name.
pub(crate) fn load(folder: &Path, filter: &str) -> Result<Vec<Workload>, String> {
    let fail = |path: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| fail(folder, &e))? {
        let path = entry.map_err(|e| fail(folder, &e))?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_none_or(|e| e != "toml") || !filter.split(',').any(|f| name.contains(f)) {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|e| fail(&path, &e))?;
        found.push(Workload::parse(&path, &text)?);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    match found.is_empty() {
        true => Err(format!("no workload in {} has '{filter}' in its name", folder.display())),
        false => Ok(found),
    }
}
