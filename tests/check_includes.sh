#!/usr/bin/env bash
# Fails on an include that runs against the arrows kernels <- engine <- nn <- train.
# usage: tests/check_includes.sh [DIR]; DIR is the top of a tree, by default the one that holds this script
set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}"

folders=(kernels engine nn data train tests bench)
declare -A may_see=(
  [kernels]='kernels/'
  [engine]='kernels/|engine/'
  [nn]='kernels/|engine/|nn/'
  [data]='data/|engine/(tensor|check|files)\.h$|kernels/random\.h$'
  [train]='kernels/|engine/|nn/|data/|train/'
  [tests]='kernels/|engine/|nn/|data/|train/|tests/'
  [bench]='kernels/|engine/|nn/|data/|train/|bench/|tests/'
)

count=0
wrong=0
report() {
  printf '%s: %s; got %s\n' "$1" "$2" "$3" >&2
  wrong=$((wrong + 1))
}

for folder in "${folders[@]}"; do
  while IFS=: read -r path line text; do
    [[ $text =~ [\<\"]([^\>\"]+)[\>\"] ]] || continue
    name=${BASH_REMATCH[1]}
    count=$((count + 1))
    if [[ $text == *'"'* && ! -e $name ]]; then
      report "$path:$line" 'an include in quotes names a file from the top of the tree' "\"$name\""
    elif [[ -e $name && ! $name =~ ^(${may_see[$folder]}) ]]; then
      report "$path:$line" "$folder/ may include only ${may_see[$folder]}" "$name"
    fi
  done < <(grep -rnE --include='*.'{h,cpp,cu} '^[[:space:]]*#[[:space:]]*include' "$folder" || true)
done

if ((wrong)); then
  printf '%d of %d includes break the rules\n' "$wrong" "$count" >&2
  exit 1
fi
printf '%d includes follow the arrows\n' "$count"
