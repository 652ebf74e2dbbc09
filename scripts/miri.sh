#!/usr/bin/env bash
# Miri, which interprets a program and reports undefined behaviour: reads and writes outside of what a pointer may reach, aliasing,
# alignment, uninitialized memory and data races. On each instruction set: products of matrices with every epilogue, training steps on
# three threads, and each fuzz target on some random inputs, 3 unless told: `scripts/miri.sh 20`. Then the loops for Intel's processors, copies of
# panels, small rows and random numbers, and the team. Needs rustup. Miri takes thousands of times as long as the processor: an hour.
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
  miri --test kernels -- gemm::products_of
  miri --test main -- a_step_that_fails_changes_no_parameter
  SELVEDGE_FUZZ_INPUTS="${1:-3}" miri --test fuzz_regressions random_inputs_pass
done

# The last ones of the loop: AVX-512, and AVX2.
printf '\n== the loops for Intel, copies of panels, small rows and random numbers\n'
miri --lib -- kernels::gemm::tests:: kernels::gemm::packed:: exec::small:: kernels::gemm::small:: kernels::rng:: kernels::dropout::tests::one_mask

printf '\n== the team\n'
miri --lib parallel::
