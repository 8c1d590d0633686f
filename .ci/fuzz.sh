#!/usr/bin/env bash
# Runs each fuzz target of the packages given for the time given: .ci/fuzz.sh 10s ./...
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-10s}
shift || true
failed=()
count=0
while read -r dir target; do
  count=$((count + 1))
  printf 'fuzz %s %s\n' "$dir" "$target"
  if ! go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir"; then
    failed+=("$dir $target")
  fi
done < <(
  go list -f '{{.Dir}}' "${@:-./...}" | while read -r dir; do
    rel=./${dir#"$PWD"/}
    { grep -ho '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null || true; } | sed "s|^func |$rel |"
  done
)
printf '%d fuzz targets, %d failed\n' "$count" "${#failed[@]}"
if [ "${#failed[@]}" -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
