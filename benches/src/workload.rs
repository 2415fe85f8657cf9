//! Workloads: the files of `benches/workloads/`.

use serde::Deserialize;
use std::path::Path;

/// One workload; `benches/README.md` describes the fields. Those that only peers need are not read here.
#[derive(Deserialize, Debug)]
pub(crate) struct Workload {
    /// The file's name without its ending.
    #[serde(skip)]
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) formula: String,
    #[serde(default = "default_dtypes")]
    pub(crate) dtypes: Vec<String>,
    #[serde(default = "default_sizes")]
    pub(crate) sizes: Vec<usize>,
}

fn default_dtypes() -> Vec<String> {
    vec!["float64".to_owned(), "float32".to_owned()]
}

fn default_sizes() -> Vec<usize> {
    vec![10_000_000, 100_000, 1000]
}

/// The workloads of a folder whose names contain `filter`, by name.
pub(crate) fn load(folder: &Path, filter: &str) -> Result<Vec<Workload>, String> {
    let fail = |path: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| fail(folder, &e))? {
        let path = entry.map_err(|e| fail(folder, &e))?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_none_or(|e| e != "toml") || !name.contains(filter) {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|e| fail(&path, &e))?;
        let mut workload: Workload = toml::from_str(&text).map_err(|e| fail(&path, &e))?;
        workload.name = name;
        found.push(workload);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    match found.is_empty() {
        true => Err(format!("no workload in {} has '{filter}' in its name", folder.display())),
        false => Ok(found),
    }
}
