#!/usr/bin/env bash
# The tests on NEON, by emulation of an AArch64 processor: kernels against their twins, and the recorded hashes of vector functions and
# of trained weights, which are those of AVX2 and AVX-512. Needs rustup, and on Debian or Ubuntu installs what else it needs.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
if ! command -v qemu-aarch64 >/dev/null || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
  as_root=(); if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
  "${as_root[@]}" apt-get update
  "${as_root[@]}" apt-get install -y qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross
fi
rustup target add "$target"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"

# Every 61st argument of each vector function.
SELVEDGE_STRIDE=61 cargo test --target "$target" --test exhaustive -- --nocapture
# Not the tests that start themselves again, which the emulator cannot, and the one that asks the kernel, for which the emulator answers.
cargo test --target "$target" --lib --test kernels --test main --test fuzz_regressions -- \
  --skip io::kill --skip isas::a_ --skip is_caught --skip the_kernel_has_been_asked
