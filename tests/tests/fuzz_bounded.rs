//! A bounded, seeded run of every fuzz target.

use lazuli_tests::fuzz::TARGETS;

#[test]
fn no_target_panics() {
    // LAZULI_FUZZ_ROUNDS makes a longer run.
    let rounds = std::env::var("LAZULI_FUZZ_ROUNDS").ok().and_then(|s| s.parse().ok()).unwrap_or(30_000);
    for target in TARGETS {
        target.bounded(rounds, 1);
    }
}

#[test]
fn every_target_has_a_file() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("fuzz");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let mut files: Vec<_> = std::fs::read_dir(root.join("fuzz_targets"))
        .unwrap()
        .map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let mut names: Vec<_> = TARGETS.iter().map(|t| t.name.to_owned()).collect();
    names.sort();
    assert_eq!(files, names);
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
