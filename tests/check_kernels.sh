#!/usr/bin/env bash
# Compares the kernels that kernels/*.cu define with those that the tests have executed.
# usage: tests/check_kernels.sh LOG; LOG is what MINNOW_KERNEL_LOG gathered, one name a line
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
log=${1:?usage: tests/check_kernels.sh LOG}
[[ -s $log ]] || { printf '%s: no kernel was executed\n' "$log" >&2; exit 1; }

# A definition may break its line between the qualifiers and the name.
defined=$(cat kernels/*.cu | tr '\n' ' ' |
  grep -oE '__global__ +void +(__launch_bounds__ *\([^)]*\) *)?[A-Za-z_0-9]+ *\(' |
  sed -E 's/ *\($//; s/.*[ )]//' | sort -u)
executed=$(sort -u "$log")
missing=$(comm -23 <(printf '%s\n' "$defined") <(printf '%s\n' "$executed"))
# The log also has the kernels of the tests of kernels/host.
count=$(comm -12 <(printf '%s\n' "$defined") <(printf '%s\n' "$executed") | wc -l)
printf '%d kernels defined, %d of them executed\n' "$(printf '%s\n' "$defined" | wc -l)" "$count"
if [[ -n $missing ]]; then
  printf 'never executed: %s\n' "${missing//$'\n'/, }" >&2
  exit 1
fi
