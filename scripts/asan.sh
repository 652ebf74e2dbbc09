#!/usr/bin/env bash
# All tests of the crate under AddressSanitizer, which stops at the first byte read or written outside of what was allocated, or after it
# was freed. Needs rustup with a nightly toolchain. The build takes some minutes, in a directory of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

rustup toolchain install nightly --profile minimal
export RUSTFLAGS="-Zsanitizer=address"
# Some tests want to see a process die of a page without access, by the signal.
export ASAN_OPTIONS="handle_segv=0"
cargo +nightly test --target x86_64-unknown-linux-gnu --target-dir target/asan --lib --test kernels --test main --test fuzz_regressions --test no_alloc
