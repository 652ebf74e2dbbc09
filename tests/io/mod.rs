//! Files as a user meets them: models that Keras has saved, and processes that die while they save.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod architecture;
mod keras;
#[cfg(unix)]
mod kill;

use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// A file that Keras has made.
fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keras").join(name)
}

/// A directory that vanishes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("selvedge-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
