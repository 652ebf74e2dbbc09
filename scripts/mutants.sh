#!/usr/bin/env bash
# Plants faults in the kernels and in the vectors, one at a time, and counts the ones that the tests find: 300 unless told, of some two
# thousand places, chosen by a seed: `scripts/mutants.sh 1000 2`. Builds the tests once, with all the faults in them; a fault then takes two
# seconds if the tests find it at once, and minutes if they do not. What survives is listed at the end: also what only an instruction set runs
# that this processor does not have.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo run --release --manifest-path tests/mutants/Cargo.toml --target-dir target/mutants/program -- "${1:-300}" "${2:-1}"
