#!/usr/bin/env bash
# Kills a training run at random moments, goes on with it, and compares its end with that of a run
# that was left alone: the weights must be the same to the byte, and so must the records be but for
# their speed.
# usage: tests/kill_runs.sh [COUNT]; COUNT kills (10), SEED of their moments in the environment.
# MINNOW names the program (build/release/minnow).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
count=${1:-10}
program=$(realpath "${MINNOW:-build/release/minnow}")
export OMP_WAIT_POLICY=passive
RANDOM=${SEED:-1}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# A checkpoint of 0.9 MB after every other step, so that many a kill meets one that is half-written.
settings=(device=cpu threads=1 data.image=8 data.train_size=96 data.test_size=40 model.name=mlp
  'model.hidden=[256,96]' train.batch=32 train.steps=24 optim.lr=0.01 clip.rule=min clip.micro_batch=8
  clip.tau=32 run.checkpoint_every=2)

die() {
  printf 'kill_runs: %s\n' "$1" >&2
  exit 1
}

# train FOLDER: begins the run in FOLDER, or goes on with it.
train() {
  mkdir -p "$1" && cd "$1"
  exec "$program" train "${settings[@]}" run.dir=run run.resume=true run.save=weights.safetensors 2>log
}

milliseconds() { printf '%s' "$((${EPOCHREALTIME//[.,]/} / 1000))"; }

records() { sed -E 's/"examples_per_s":[^,}]*//' "$1/run/metrics.jsonl"; }

# Whether a process of the run in FOLDER was writing a file when it ended.
has_temporary() { [[ -n $(find "$1" -name '.minnow-*.tmp') ]]; }

start=$(milliseconds)
(train whole) >/dev/null || die "the run that is left alone failed: $(<whole/log)"
length=$(($(milliseconds) - start))

kills=0 writing=0 ends=0
while ((kills < count || ends == 0)); do
  (train killed) >/dev/null &
  child=$!
  if ((kills < count)); then
    moment=$((RANDOM % (length + length / 8)))
    sleep "$((moment / 1000)).$(printf '%03d' $((moment % 1000)))"
    kill -KILL "$child" 2>/dev/null || true # it may have come to its end
  fi
  status=0
  wait "$child" 2>/dev/null || status=$?
  if ((status == 128 + 9)); then
    kills=$((kills + 1))
    if has_temporary killed; then writing=$((writing + 1)); fi
    continue
  fi
  ((status == 0)) || die "status $status after $kills kills: $(<killed/log)"
  ends=$((ends + 1))
  cmp whole/weights.safetensors killed/weights.safetensors || die "other weights after $kills kills"
  diff <(records whole) <(records killed) >&2 || die "other records after $kills kills"
  if has_temporary killed; then die "a temporary file was left after $kills kills"; fi
  rm -rf killed
done
printf '%d kills, %d of them while a file was being written; %d runs ended as the one left alone\n' \
  "$kills" "$writing" "$ends"
