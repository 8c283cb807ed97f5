#!/usr/bin/env bash
# Feeds one parser mutated inputs under AddressSanitizer and UndefinedBehaviorSanitizer.
# usage: tests/fuzz/run.sh TARGET SECONDS [FLAG...]
# TARGET is a folder of tests/fuzz/seeds; FLAGs go to libFuzzer. What it learns stays in build/fuzz/corpus/TARGET.
# An input that fails is named; copied into the target's seeds it is part of the test Fuzz.Seeds from then on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if (($# < 2)) || [[ ! -d tests/fuzz/seeds/$1 || ! $2 =~ ^[0-9]+$ ]]; then
  sed -n '3,5s/^# //p' tests/fuzz/run.sh >&2
  printf 'targets: %s\n' "$(ls -x tests/fuzz/seeds)" >&2
  exit 2
fi
if ! command -v clang++-14 >/dev/null; then
  printf 'needs libFuzzer: apt install clang-14 libclang-rt-14-dev libomp-14-dev\n' >&2
  exit 1
fi
target=$1 seconds=$2
shift 2

options=()
if command -v ccache >/dev/null; then options=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake --preset fuzz "${options[@]}" >/dev/null
cmake --build --preset fuzz --target minnow_fuzz -j "$(nproc)"

corpus=build/fuzz/corpus/$target failures=build/fuzz/failures/$target
mkdir -p "$corpus" "$failures"
files=$(mktemp -d --tmpdir="$(if [[ -w /dev/shm ]]; then echo /dev/shm; else echo /tmp; fi)")
trap 'rm -rf "$files"' EXIT
TMPDIR=$files OMP_NUM_THREADS=1 MINNOW_FUZZ_TARGET=$target UBSAN_OPTIONS=print_stacktrace=1 \
  build/fuzz/minnow_fuzz -max_total_time="$seconds" -timeout=60 -rss_limit_mb=4096 -artifact_prefix="$failures/" \
  -print_final_stats=1 "$@" "$corpus" "tests/fuzz/seeds/$target"
