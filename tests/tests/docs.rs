//! The guide says everything there is.

// A test that cannot go on fails.
#![allow(clippy::unwrap_used)]

use std::path::Path;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("docs").join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_function_of_the_language_is_described() {
    let pages = page("language.md") + &page("reference.md");
    let missing: Vec<_> = lazuli_cli::lang::function_names().filter(|n| !pages.contains(&format!("`{n}`"))).collect();
    assert!(missing.is_empty(), "docs/language.md does not have {missing:?}");
}

#[test]
fn every_page_is_in_the_summary_and_every_link_leads_somewhere() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("docs");
    let summary = page("SUMMARY.md");
    for folder in ["", "decisions"] {
        for entry in std::fs::read_dir(docs.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.extension().is_none_or(|e| e != "md") || name == "SUMMARY.md" {
                continue;
            }
            let link = Path::new(folder).join(&name).to_string_lossy().replace('\\', "/");
            assert!(summary.contains(&format!("({link})")), "docs/SUMMARY.md does not have {link}");
            let text = std::fs::read_to_string(&path).unwrap();
            for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = target.split('#').next().unwrap();
                let there = file.is_empty() || file.contains("://") || path.parent().unwrap().join(file).exists();
                assert!(there, "{link} links to {target}");
            }
        }
    }
}
