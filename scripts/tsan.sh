#!/usr/bin/env bash
# Teams of threads, and training, evaluation and predictions on them, under ThreadSanitizer, which reports accesses of two threads that nothing
# orders. The standard library is built for it, too. Needs rustup with a nightly toolchain. The build takes some minutes, in a directory of its
# own, the rest two.
set -euo pipefail
cd "$(dirname "$0")/.."

rustup toolchain install nightly --profile minimal --component rust-src
export RUSTFLAGS="-Zsanitizer=thread"
cargo +nightly test -Zbuild-std --target x86_64-unknown-linux-gnu --target-dir target/tsan --lib --test no_alloc
