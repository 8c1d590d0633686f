#!/usr/bin/env bash
# Runs each fuzz target of the packages given for the time given: .ci/fuzz.sh 10s ./...
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-10s}
shift || true
log=$(mktemp)
trap 'rm -f "$log"' EXIT
only_the_deadline() {
  [ "$(grep -A1 '^--- FAIL: ' "$log" | tail -n +2)" = '    context deadline exceeded' ] &&
    ! grep -qE 'Failing input|panic:|^ +--- FAIL|DATA RACE' "$log"
}

failed=()
count=0
while read -r dir target; do
  count=$((count + 1))
  printf 'fuzz %s %s\n' "$dir" "$target"
  status=0
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir" >"$log" 2>&1 || status=$?
  cat "$log"
  # The end of the time can be taken for a failure by Go before 1.27 (go.dev/issue/75804): then the deadline is all that
  # is reported, and there is no input that fails.
  if [ "$status" != 0 ] && ! only_the_deadline; then
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
