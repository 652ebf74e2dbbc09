#!/usr/bin/env bash
# A team of two and of three threads in every order in which they can run and their accesses take effect, by loom: each test is run once for
# each order with a few interruptions. The build takes some minutes, the rest half of one.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg loom"
cargo test --target-dir target/loom --lib parallel::model
