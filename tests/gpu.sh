#!/usr/bin/env bash
# The stages of `./dev gpu`. See usage.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'TEXT'
usage: ./dev gpu [STAGE...]             without one: build, tests, train, bench, beside, memcheck, racecheck
       ./dev gpu --pack [DIR] [--binary]  collect what a machine without network lacks (tests/gpu_pack.sh)

  build       for the GPU of this machine, into build/gpu; every other stage begins with it
  tests       the whole test suite on the GPU
  train       50 steps on the processor and on the GPU: losses within rounding (tests/gpu_losses.awk)
  bench       bench_kernels and bench_step on the GPU
  beside      bench_step beside PyTorch, where that is installed
  memcheck    compute-sanitizer over the tests of the kernels
  racecheck   likewise

A stage that fails, or is cut off at its time limit, does not stop the next. Everything is written to
bench/results/DEVICE-DATE. In the environment:
  MINNOW_GPU_LIMIT_TESTS=SECONDS   and so on for each stage: its time limit
  MINNOW_GPU_RESULTS=DIR           instead of bench/results/DEVICE-DATE
  MINNOW_GPU_FILTER=PATTERN        which tests the sanitizers run, as --gtest_filter
  MINNOW_GPU_SHARDS=N              how many processes share the tests
  MINNOW_GPU_PEER=FILE, MINNOW_GPU_PYTHON=PYTHON   what `beside` compares with, and its interpreter
  MINNOW_GPU_ARCH=90               compute capability to build for, instead of what the GPU reports
  MINNOW_PACK=DIR                  the pack, by default build/pack
TEXT
}

build=build/gpu
logs=$build/gpu-logs
pack=${MINNOW_PACK:-build/pack}
python=${MINNOW_GPU_PYTHON:-python3}
# What a stage returns when it could not be tried here.
skipped=77
stages=(build tests train bench beside memcheck racecheck)
# tests, train, bench and beside fit ten minutes together.
declare -A limits=([build]=900 [tests]=200 [train]=90 [bench]=150 [beside]=150 [memcheck]=560 [racecheck]=560)

say() { printf 'dev gpu: %s\n' "$1"; }
die() {
  printf 'dev gpu: %s\n' "$1" >&2
  exit "${2:-1}"
}
has() { command -v "$1" >/dev/null; }

# A checksum of all that programs are made of.
sources() {
  find CMakeLists.txt CMakePresets.json cmake kernels engine nn data train tests bench -type f \
    -regex '.*\.\(h\|cpp\|cu\|txt\|cmake\|json\)' -not -path 'bench/results/*' | LC_ALL=C sort |
    xargs sha256sum | sha256sum | cut -d ' ' -f 1
}

# shellcheck source=tests/gpu_tools.sh
source tests/gpu_tools.sh

device_name() { nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1; }

# ---- stages; each runs under its time limit

# Programs that the pack carries serve if they are made of just these sources; their tests know where they were built.
take_binaries() {
  [[ -e $pack/bin/SOURCES && $(<"$pack/bin/SOURCES") == "$(sources)" ]] || return 1
  local folder
  folder=$(<"$pack/bin/FOLDER")
  if [[ $(realpath -q "${folder%/build/*}" || true) != "$(pwd -P)" ]]; then
    say "the pack's programs look for their files in ${folder%/build/*}, which is not this folder; building instead"
    return 1
  fi
  mkdir -p "$build" "$folder"
  tar -xzf "$pack/bin/bin.tar.gz" -C "$build"
  cp "$build/minnow" "$folder"
  sources >"$build/SOURCES"
  say "the pack's programs, made of these sources"
}

# What was built of the same sources serves, although copying them here may have made them look newer.
is_built() { [[ -x $build/minnow_tests && -e $build/SOURCES && $(<"$build/SOURCES") == "$(sources)" ]]; }

stage_build() {
  if is_built; then say 'built before, of the same sources' && return; fi
  if [[ ! -e $build/CMakeCache.txt ]] && take_binaries; then return; fi
  local tool launcher=() arch=${MINNOW_GPU_ARCH:-}
  if ! has nvcc; then
    [[ -x $build/minnow_tests ]] || die 'nvcc is missing, and nothing was built before'
    say 'no nvcc here, and other sources than those last built; what was built is used all the same'
    return
  fi
  for tool in cmake ninja c++; do has "$tool" || die "$tool is missing"; done
  if has ccache; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  # Another compiler than ours has other warnings, which are not what is tried here.
  [[ $arch ]] || arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
  rm -f "$build/SOURCES"
  cmake --preset gpu --compile-no-warning-as-error -DMINNOW_CUDA_ARCHITECTURES="$arch-real" "${launcher[@]}" \
    "${cuda_options[@]}" &&
    cmake --build "$build" --target minnow minnow_tests benchmarks -j "$(nproc)" && sources >"$build/SOURCES"
}

# shards STAGE COMMAND...: the tests that the command names, shared out among some processes.
shards() {
  local stage=$1 count=${MINNOW_GPU_SHARDS:-$(($(nproc) > 7 ? 4 : 1))} i status=0 pids=()
  shift
  rm -f "$logs/$stage"-*
  for ((i = 0; i < count; ++i)); do
    GTEST_TOTAL_SHARDS=$count GTEST_SHARD_INDEX=$i OMP_NUM_THREADS=$((($(nproc) + count - 1) / count)) \
      OMP_WAIT_POLICY=passive MINNOW_TEST_DEVICE=cuda \
      "$@" --gtest_output="xml:$logs/$stage-$i.xml" >"$logs/$stage-$i.log" 2>&1 &
    pids+=($!)
  done
  for i in "${!pids[@]}"; do
    wait "${pids[i]}" || { status=$? && printf 'process %d of %d ended with status %d\n' $((i + 1)) "$count" $status; }
  done
  if ((status == 0 && $(count_lines '\[       OK \]' "$stage") == 0)); then printf 'no test was run\n' && status=1; fi
  return "$status"
}

# Runs after the stage, cut off or not.
report_shards() {
  local stage=$1 log last
  for log in "$logs/$stage"-*.log; do
    [[ -e $log ]] || continue
    # The line that names the test in hand, where the process did not come to its end.
    if ! grep -q '^\[==========\] .* ran\.' "$log"; then
      last=$(grep -E '^\[ RUN ' "$log" | tail -n 1 || true)
      printf 'not finished; last: %s\n' "${last:-nothing was run}"
      tail -n 15 "$log"
    fi
    # Failures and the sanitizers' findings, with what they say.
    awk '/^\[ RUN/ { text = $0; next } /^\[  FAILED  \] .*\(.* ms\)$/ { print text; print; text = ""; next }
         /^\[/ { text = ""; next } { text = text "\n" $0 }' "$log" | head -n 400 || true
    grep -E '^=========' "$log" | head -n 200 || true
  done
  printf '%d passed, %d failed, %d skipped\n' "$(count_lines '\[       OK \]' "$stage")" \
    "$(count_lines '\[  FAILED  \] .*ms\)$' "$stage")" "$(count_lines '\[  SKIPPED \] .*ms\)$' "$stage")"
}

# count_lines PATTERN STAGE
count_lines() { cat "$logs/$2"-*.log 2>/dev/null | grep -cE "^$1" || true; }

stage_tests() { shards tests "$build/minnow_tests"; }

sanitize() {
  has compute-sanitizer || { say 'no compute-sanitizer here' && return "$skipped"; }
  MINNOW_QUICK=1 shards "$1" compute-sanitizer --tool "$1" --error-exitcode 9 --print-limit 20 \
    "$build/minnow_tests" --gtest_filter="${MINNOW_GPU_FILTER:-Op_*:Grouped*}"
}
stage_memcheck() { sanitize memcheck; }
stage_racecheck() { sanitize racecheck; }

# The run that `train` repeats: a small ViT that learns 64 pictures by heart. Plain gradient descent with momentum, as
# Adam's first steps are the signs of gradients, whose rounding near zero no bound on the update covers.
train_batch=64 train_patch=4 train_dim=64 train_depth=4 train_tokens=65 train_lr=0.003
train_keys=(seed=1 data.name=shapes data.train_size=64 data.test_size=64 data.workers=0 model.name=vit
  model.patch="$train_patch" model.dim="$train_dim" model.depth="$train_depth" model.heads=4 train.steps=50
  train.batch="$train_batch" train.eval_every=0 optim.name=sgd optim.momentum=0.9 schedule.name=constant
  clip.micro_batch=8)

# rounding NAME: what the forward pass (F) or an update (G) may be off, relative to itself; see gpu_losses.awk. The
# sums of a forward pass: the patches; in each block two norms, qkv, scores, values, projection and the two of the MLP;
# the last norm and the head. The backward pass has each twice, and the sum over all rows of a weight's gradient.
rounding() {
  awk -v which="$1" -v D="$train_dim" -v T="$train_tokens" -v p="$train_patch" -v L="$train_depth" -v B="$train_batch" '
    BEGIN {
      S = sqrt(3 * p * p) + L * (5 * sqrt(D) + sqrt(D / 4) + sqrt(T) + sqrt(4 * D)) + 2 * sqrt(D)
      printf "%.3e", 4 * 2 ^ -24 * (which == "F" ? S : 2 * S + sqrt(B * T))
    }'
}

# losses NAME KEY=VALUE...: trains, and leaves the losses of the steps.
losses() {
  local name=$1 folder=$logs/train/$1 start=$SECONDS
  shift
  rm -rf "$folder"
  "$build/minnow" train "${train_keys[@]}" run.dir="$folder" "$@" >"$folder.log" 2>&1 ||
    { tail -n 5 "$folder.log" && return 1; }
  sed -n '/"kind":"step"/s/.*"loss":\([^,}]*\).*/\1/p' "$folder/metrics.jsonl" >"$logs/train/$name.txt"
  printf '%-12s %3d s  %s\n' "$name" $((SECONDS - start)) "$*"
}

stage_train() {
  local rule rho=0.0009765625 nudged status=0 kind files
  nudged=$(awk -v lr=$train_lr -v rho=$rho 'BEGIN { printf "%.12g", lr * (1 + rho) }')
  mkdir -p "$logs/train"
  printf 'minnow train %s\n' "${train_keys[*]}"
  for rule in none min; do
    printf '\nclip.rule=%s\n' $rule
    rm -f "$logs/train"/*.txt
    losses cpu clip.rule=$rule optim.lr=$train_lr device=cpu precision=f32 || return
    losses nudged clip.rule=$rule optim.lr="$nudged" device=cpu precision=f32 || return
    losses cuda clip.rule=$rule optim.lr=$train_lr device=cuda precision=f32 || { status=1 && continue; }
    files=(cpu nudged cuda)
    for kind in tf32 bf16; do
      if losses $kind clip.rule=$rule optim.lr=$train_lr device=cuda precision=$kind; then
        files+=("$kind")
      else
        status=1
      fi
    done
    printf 'F %s, G %s, rho %s\n' "$(rounding F)" "$(rounding G)" $rho
    (cd "$logs/train" && awk -v rho=$rho -v forward="$(rounding F)" -v gradient="$(rounding G)" \
      -f "$OLDPWD/tests/gpu_losses.awk" "${files[@]/%/.txt}") || status=1
  done
  return "$status"
}

stage_bench() {
  local name status=0
  for name in bench_kernels bench_step; do
    printf '\n== %s\n' $name
    rm -f "$logs/$name.json"
    MINNOW_TEST_DEVICE=cuda timeout -k 5 $((limit / 2 - 5)) "$build/$name" --benchmark_out="$logs/$name.json" \
      --benchmark_out_format=json --benchmark_format=console >"$logs/$name.log" 2>&1 || status=$?
    grep -E '^(limits|on|device)' "$logs/$name.log" || true
    if [[ -s $logs/$name.json ]]; then awk -f bench/rows.awk "$logs/$name.json" || status=1; fi
    ((status == 0)) || tail -n 5 "$logs/$name.log"
  done
  return "$status"
}

stage_beside() {
  local peer=${MINNOW_GPU_PEER:-../shared/peers/vit_step.py} image status=0
  if [[ ! -e $peer ]]; then peer=$pack/peers/vit_step.py; fi
  [[ -e $peer ]] || { say 'no program to compare with; name one in MINNOW_GPU_PEER' && return "$skipped"; }
  "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null ||
    { say "$python has no PyTorch that sees the GPU" && return "$skipped"; }
  if compgen -G "$pack/wheels/*.whl" >/dev/null && ! "$python" -c 'import timm, opacus' 2>/dev/null; then
    "$python" -m pip -q install --no-index --no-deps --no-compile --upgrade --target "$build/python" \
      "$pack"/wheels/*.whl || true
    export PYTHONPATH=$PWD/$build/python${PYTHONPATH:+:$PYTHONPATH}
  fi
  for image in 32 56; do
    "$python" bench/beside.py "$build/bench_step" "$peer" --python "$python" --device cuda --rounds 2 \
      --image $image || status=1
  done
  return "$status"
}

# ---- around the stages

outcome() {
  case $1 in
    0) printf 'passed' ;;
    "$skipped") printf 'skipped' ;;
    124 | 137) printf 'CUT OFF' ;;
    *) printf 'FAILED' ;;
  esac
}

# At most 200 kB, so that the folder can be committed.
shorten() {
  (($(stat -c %s "$1") > 200000)) || return 0
  { head -c 100000 "$1" && printf '\n[... cut ...]\n' && tail -c 100000 "$1"; } >"$1.short"
  mv "$1.short" "$1"
}

run_stage() {
  local name=$1 start=$SECONDS status=0 key="MINNOW_GPU_LIMIT_${1^^}" limit file=$results/$1.txt
  limit=${!key:-${limits[$name]}}
  printf '\n== %s, at most %d s\n' "$name" "$limit"
  timeout -k 10 "$limit" "$0" --inside "$name" "$limit" </dev/null 2>&1 | tee "$file" || status=${PIPESTATUS[0]}
  case $name in
    tests | memcheck | racecheck) ((status == skipped)) || report_shards "$name" | tee -a "$file" ;;
    # Hundreds of lines that say nothing where all went well.
    build) ((status)) || rm "$file" ;;
  esac
  [[ ! -e $file ]] || shorten "$file"
  # A stage that is run again replaces its line.
  touch "$results/stages.txt"
  grep -v "^$name " "$results/stages.txt" >"$results/stages.new" || true
  printf '%-10s %-8s %5d s of %4d s  %s\n' "$name" "$(outcome "$status")" $((SECONDS - start)) "$limit" \
    "$(date -u +%FT%TZ)" >>"$results/stages.new"
  mv "$results/stages.new" "$results/stages.txt"
  ((status == 0 || status == skipped)) || failed+=("$name")
  ((status == 0 || status == skipped))
}

write_readme() {
  local processor commit
  processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
  commit=$(git rev-parse --short HEAD 2>/dev/null || printf 'unknown')
  if [[ $(git status --porcelain --untracked-files=no 2>/dev/null) ]]; then commit+=' with changes'; fi
  cat >"$results/README.md" <<TEXT
# $(device_name), $(date -u +%F)

Written by \`./dev gpu\`; \`./dev gpu STAGE\` repeats one stage. What each one printed is in STAGE.txt.

\`\`\`
$(cat "$results/stages.txt")
\`\`\`

\`\`\`
$(nvidia-smi --query-gpu=name,memory.total,driver_version,compute_cap --format=csv,noheader)
$(nvcc --version 2>/dev/null | grep -o 'release.*' || printf 'no nvcc')
$(c++ --version 2>/dev/null | head -n 1)
$(ldd --version | head -n 1)
$(nproc) cores, ${processor:-unknown processor}
PyTorch $("$python" -c 'import torch; print(torch.__version__)' 2>/dev/null || printf 'none')
revision $commit, sources $(sources | head -c 12)
\`\`\`

## minnow info

\`\`\`
$("$build/minnow" info 2>/dev/null || printf 'no program was built')
\`\`\`

## Commands

    ./dev gpu build      # cmake --preset gpu && cmake --build $build
    ./dev gpu tests      # MINNOW_TEST_DEVICE=cuda $build/minnow_tests
    ./dev gpu train      # minnow train ${train_keys[*]} device=..., tests/gpu_losses.awk
    ./dev gpu bench      # MINNOW_TEST_DEVICE=cuda $build/bench_kernels, bench_step
    ./dev gpu beside     # bench/beside.py $build/bench_step PEER --device cuda
    ./dev gpu memcheck   # compute-sanitizer --tool memcheck $build/minnow_tests --gtest_filter='Op_*:Grouped*'
    ./dev gpu racecheck  # likewise
TEXT
}

# ----

find_tools
case ${1:-} in
  --sources)
    sources
    exit
    ;;
  --inside)
    mkdir -p "$logs"
    use_pack
    find_cuda
    limit=$3
    "stage_$2"
    exit
    ;;
  help | --help | -h)
    usage
    exit
    ;;
esac

wanted=("$@")
for name in "${wanted[@]}"; do
  [[ " ${stages[*]} " == *" $name "* ]] ||
    die "unknown stage '$name'; expected ${stages[*]}, --pack or --help" 2
done
((${#wanted[@]})) || wanted=("${stages[@]}")
nvidia-smi -L 2>/dev/null | grep '^GPU ' >/dev/null ||
  die "no NVIDIA GPU here: 'nvidia-smi -L' names none" 2

slug=$(device_name | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9-')
results=${MINNOW_GPU_RESULTS:-bench/results/${slug#nvidia-}-$(date -u +%F)}
mkdir -p "$results" "$logs"
use_pack
find_cuda
failed=()
if run_stage build; then
  for name in "${wanted[@]}"; do
    [[ $name == build ]] || run_stage "$name" || true
  done
fi
write_readme
printf '\n== summary: %s\n' "$results"
cat "$results/stages.txt"
((${#failed[@]} == 0)) || die "failed: ${failed[*]}"
