#!/usr/bin/env bash
# Miri, which interprets a program and reports undefined behaviour: reads and writes outside of what a pointer may reach, aliasing,
# alignment, uninitialized memory and data races. The kernels run on the fuzz targets' random inputs, on each instruction set; the team,
# and whole training steps on three threads, run once. `scripts/miri.sh 20` takes 20 inputs for each target instead of 4.
# Needs rustup with a nightly toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."

rustup toolchain install nightly --profile minimal --component miri --component rust-src
# The tests read files and the clock.
export MIRIFLAGS="-Zmiri-disable-isolation"
# Miri knows no assembly, of which `libm` has some for square roots.
miri() { cargo +nightly miri test --features libm/force-soft-floats "$@"; }

# Under Miri there are the instruction sets that the compiler is told of.
for pair in portable:x86-64 avx2:x86-64-v3 avx512:x86-64-v4; do
  export SELVEDGE_ISA="${pair%:*}" RUSTFLAGS="-C target-cpu=${pair#*:}"
  printf '\n== %s\n' "$SELVEDGE_ISA"
  SELVEDGE_FUZZ_INPUTS="${1:-4}" miri --test fuzz_regressions random_inputs_pass
done

printf '\n== the team, and steps on three threads\n'
export SELVEDGE_ISA=avx2 RUSTFLAGS="-C target-cpu=x86-64-v3"
miri --lib parallel::
miri --test main a_step_that_fails_changes_no_parameter
