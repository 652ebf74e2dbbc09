#!/usr/bin/env bash
# Runs every fuzz target for some seconds, 10 unless told: `fuzz/run-all.sh 60`. Needs a nightly toolchain and cargo-fuzz
# (`cargo install cargo-fuzz`). Stops at the first input that fails; `cargo fuzz` prints where it lies and how to run and shrink it.
#
# There is no sanitizer unless `SANITIZER=address` is set: with it the build takes half an hour. Every fourth case or so lies between
# pages without access anyway.
set -euo pipefail
cd "$(dirname "$0")"
seconds="${1:-10}"
options=(--sanitizer "${SANITIZER:-none}" --codegen-units 16)

cargo +nightly fuzz build "${options[@]}"
for target in $(cargo +nightly fuzz list); do
  printf '\n== %s, %s seconds\n' "$target" "$seconds"
  # What the fuzzer finds worth keeping goes to the first directory; the others are only read.
  mkdir -p "corpus/$target"
  directories=("corpus/$target")
  if [ -d "regressions/$target" ]; then directories+=("regressions/$target"); fi
  cargo +nightly fuzz run "${options[@]}" "$target" "${directories[@]}" -- \
    -max_total_time="$seconds" -max_len=2048 -len_control=0 -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=64 -print_final_stats=1
done
