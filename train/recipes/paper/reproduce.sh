#!/usr/bin/env bash
# Makes every table and figure of the paper that can be made here, and binds the reports into OUT/index.html.
#
# usage: train/recipes/paper/reproduce.sh [--quick] [--out OUT] [--jobs N] [an4=PATH] [cifar10=PATH] [reviews=PATH]
#
# Goes on where it stopped: runs that have ended are not made again, and a study that is done is passed over. A study
# whose data are not given is left out, and said so. --quick shows in a few minutes that all of it works; its figures
# mean nothing. MINNOW names the program (build/release/minnow).
# shellcheck disable=SC2054  # a list with commas is one argument
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
minnow=${MINNOW:-$here/../../../build/release/minnow}
quick=no out=studies/paper jobs=2
declare -A data=()
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=yes ;;
    --out) out=$2; shift ;;
    --jobs) jobs=$2; shift ;;
    an4=* | cifar10=* | reviews=*) data[${1%%=*}]=${1#*=} ;;
    *) echo "reproduce.sh: $1 is none of --quick, --out, --jobs, an4=, cifar10=, reviews=" >&2; exit 2 ;;
  esac
  shift
done
[ $quick = no ] || out=$out-quick
mkdir -p "$out"
reports=()

# study NAME COMMAND...: runs `minnow study COMMAND... -o OUT/NAME` unless that is done.
study() {
  local name=$1
  shift
  reports+=("$out/$name")
  [ ! -e "$out/$name.done" ] || return 0
  echo "== $name: minnow study $*"
  "$minnow" study "$@" -o "$out/$name"
  touch "$out/$name.done"
}

# train NAME RECIPE SETTING...: the run OUT/runs/NAME of RECIPE.toml.
train() {
  local name=$1 recipe=$2
  shift 2
  [ ! -e "$out/$name.done" ] || return 0
  echo "== $name: minnow train"
  "$minnow" train "$here/$recipe.toml" "$@" run.dir="$out/runs/$name" run.resume=true
}

# has DATA STUDIES: whether the path of DATA was given.
has() {
  [ -z "${data[$1]:-}" ] || return 0
  echo "reproduce.sh: no $1=PATH: $2 left out" >&2
  return 1
}

# Settings of each study: those for hours, or those for minutes.
full() { [ $quick = no ]; }
if full; then
  theory=() an4=() points=() cosine=() c_hat=() tones=() cifar=() texts=()
  spoilt_tones=(data.draggers=0.15) tones_cosine=(--reference 300)
  seeds=(--seeds 3)
  an4_rates=(--lrs 1e-3,2e-3,4e-3) tones_rates=(--lrs 5e-4,1e-3,2e-3) cifar_rates=(--lrs 1e-3,2e-3)
  text_rates=(--lrs 1e-3,2e-3)
else
  theory=(T=10,100 seeds=2)
  an4=(data.limit=64 train.epochs=1)
  points=(data.limit=64 data.draggers=0.4 train.epochs=2 run.checkpoint_every=4)
  cosine=(--examples 10 --reference 10) c_hat=(--count 10)
  tones=(data.train_size=64 data.test_size=16 train.epochs=1)
  spoilt_tones=(data.draggers=0.4) tones_cosine=("${cosine[@]}")
  cifar=(data.limit=256 train.epochs=1)
  texts=(train.steps=10 data.domains='["books","toys_games"]' data.vocabulary=500 data.max_tokens=32 data.per_domain='[200]')
  seeds=(--seeds 2)
  an4_rates=(--lrs 2e-3) tones_rates=(--lrs 1e-3) cifar_rates=(--lrs 2e-3) text_rates=(--lrs 1e-3)
fi

study theory theory "${theory[@]}"
if has an4 "Figure 1 and Table 3"; then
  train figure1 figure1 data.path="${data[an4]}" "${points[@]}"
  study figure1 cosine "$out/runs/figure1" "${cosine[@]}"
  train table3 table3 data.path="${data[an4]}" "${points[@]}"
  study table3 c-hat "$out/runs/table3" --micro-batches 1,4,16 "${c_hat[@]}"
fi
# Figure 1 and Table 3 on tones: other draggers, weights and order with each seed.
for seed in 0 1 2; do
  spoilt=("$here/table2_tones.toml" "${tones[@]}" "${spoilt_tones[@]}" "seed=$seed" "data.seed=$seed" --points 2)
  study "figure1_tones_$seed" cosine "${spoilt[@]}" "${tones_cosine[@]}"
  study "table3_tones_$seed" c-hat "${spoilt[@]}" clip.rule=min clip.micro_batch=4 --micro-batches 1,4,16 "${c_hat[@]}"
done
train norms table2_tones clip.rule=min clip.micro_batch=1 log.norms=true "${tones[@]}"
study norms norms "$out/runs/norms"
study table2_tones sweep "$here/table2_tones.toml" --micro-batches 1,4,16 "${tones_rates[@]}" "${seeds[@]}" \
  --jobs "$jobs" "${tones[@]}"
if has an4 "Figure 2 and Table 2"; then
  study table2_an4 sweep "$here/table2_an4.toml" data.path="${data[an4]}" --micro-batches 1,4 "${an4_rates[@]}" \
    "${seeds[@]}" --jobs "$jobs" "${an4[@]}"
fi
if has cifar10 "Table 4"; then
  study table4 sweep "$here/table4.toml" data.path="${data[cifar10]}" --micro-batches 1,8 "${cifar_rates[@]}" \
    "${seeds[@]}" --jobs "$jobs" "${cifar[@]}"
fi
if has reviews "Tables 5 and 6"; then
  study tables5_6 domains "$here/tables5_6.toml" data.path="${data[reviews]}" --micro-batch 8 "${text_rates[@]}" \
    "${seeds[@]}" --jobs "$jobs" "${texts[@]}"
fi
"$minnow" study report "${reports[@]}" -o "$out/index.html"
