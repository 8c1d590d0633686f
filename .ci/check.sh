#!/usr/bin/env bash
# The fast checks: formatting, lint, vet, and whether generated files are fresh. It changes nothing in the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
say() { printf '%s\n' "$*" >&2; }

mapfile -t files < <(git ls-files '*.go' | while read -r f; do [ -e "$f" ] && printf '%s\n' "$f"; done)
unformatted=$(.ci/bin/gofumpt -l "${files[@]}")
if [ -n "$unformatted" ]; then
  say "not formatted (run .ci/bin/gofumpt -w on them):"
  say "$unformatted"
  failed=1
fi

go vet ./... || failed=1
.ci/bin/golangci-lint run --allow-parallel-runners ./... || failed=1

# The manual is generated from the declarations; the test says which page is stale.
go test ./cmd/kumo -run '^TestManPages$' >&2 || failed=1

go mod verify >/dev/null || failed=1
# -e: a test of the SQLite driver wants a module that not every mirror has; nothing of ours needs it.
if [ -n "$(go mod tidy -e -diff 2>/dev/null)" ]; then
  say "go.mod or go.sum is not tidy: run go mod tidy -e and commit"
  failed=1
fi
exit "$failed"
