#!/usr/bin/env bash
# Stands in for `az`, `backtests` and `psql`: writes down what it was given and answers from a list. A line of the list is
# a number of uses, an exit code, the file with the answer, and a part of the arguments that it answers to.
set -euo pipefail
name=$(basename "$0")
{
  printf '%s' "$name"
  printf '\t%s' "$@"
  printf '\n'
} >>"$STAND_IN/calls"
env | grep -E '^(POSTGRES|AZURE|BACKTEST|PG|.*_PASSWORD)' | sort | sed "s/^/$name\t/" >>"$STAND_IN/variables" || true
# What `az` is told to read from a file is part of what it was given.
for argument in "$@"; do
  if [[ "${previous:-}" == --file ]]; then
    stat -c '%a' "$argument" >>"$STAND_IN/modes"
    cat "$argument" >>"$STAND_IN/files"
  fi
  previous=$argument
done
cat >>"$STAND_IN/input"
line=0
# Read whole first: a use is counted in the same file.
mapfile -t answers <"$STAND_IN/answers"
while IFS=$'\t' read -r uses code answer part; do
  line=$((line + 1))
  if [[ -n "$part" && "$name $*" == *"$part"* && "$uses" != 0 ]]; then
    sed -i "${line}s/^[0-9]*/$((uses - 1))/" "$STAND_IN/answers"
    if [[ "$code" == 0 ]]; then cat "$STAND_IN/$answer"; else cat "$STAND_IN/$answer" >&2; fi
    exit "$code"
  fi
done < <(printf '%s\n' "${answers[@]}")
