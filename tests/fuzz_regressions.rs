//! The fuzz targets as ordinary tests: over the inputs in `fuzz/regressions`, each of which once failed, and over random ones.

#![allow(clippy::print_stderr, reason = "a test that fails must say on which input")]

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "it is a library of its own")]
mod targets;

use fastrand::Rng;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use targets::TARGETS;

/// Random inputs for each target, unless `SELVEDGE_FUZZ_INPUTS` says how many; a fuzzer tries thousands in a second.
const RANDOM_INPUTS: u64 = 300;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The files of a directory, in the order of their names; none if it is not there.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().map(|entry| entry.expect("a directory can be listed").path()).collect()
}

#[test]
fn inputs_that_once_failed_pass() {
    for (name, run) in TARGETS {
        for path in files(&fuzz().join("regressions").join(name)) {
            eprintln!("{}", path.display());
            run(&fs::read(&path).expect("a file can be read"));
        }
    }
}

#[test]
fn random_inputs_pass() {
    let inputs = std::env::var("SELVEDGE_FUZZ_INPUTS").map_or(RANDOM_INPUTS, |inputs| inputs.parse().expect("a number of inputs"));
    for (name, run) in TARGETS {
        for seed in 0..inputs {
            let mut rng = Rng::with_seed(seed);
            let input: Vec<u8> = (0..rng.usize(..400)).map(|_| rng.u8(..)).collect();
            eprintln!("{name}, seed {seed}");
            run(&input);
        }
    }
}

/// A target that is missing in one place would never run there.
#[test]
fn every_target_is_listed_everywhere() {
    let listed: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_string()).collect();
    let stem = |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let programs: BTreeSet<String> = files(&fuzz().join("fuzz_targets")).iter().filter_map(stem).collect();
    assert_eq!(programs, listed, "programs");
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("a manifest");
    for name in &listed {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not in the manifest");
    }
    let regressions: BTreeSet<String> = files(&fuzz().join("regressions")).iter().filter_map(stem).collect();
    assert!(regressions.is_subset(&listed), "regressions of targets that are not there: {regressions:?}");
}
