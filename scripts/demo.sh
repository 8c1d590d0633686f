#!/usr/bin/env bash
# Starts kumo and, beside it, a second kumo as the destination; sends ten messages through the first by SMTP and by
# pipe; shows them arrive at the second. Everything lives in a temporary directory and on free ports, and only what
# this script started is stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
kumo=$PWD/bin/kumo
[ -x "$kumo" ] || { echo "demo: bin/kumo is missing; run make first" >&2; exit 1; }

dir=$(mktemp -d)
export XDG_STATE_HOME=$dir NO_COLOR=1
unset KUMO_SPOOL
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap stop EXIT

# start NAME POLICY: runs a daemon and waits until it is ready; its SMTP address is then in $address.
start() {
  "$kumo" serve --policy "$2" --user "$(id -un)" 2>"$dir/$1.log" &
  pids+=("$!")
  for _ in $(seq 100); do
    if grep -qs "initialization complete" "$dir/$1.log"; then
      address=$(sed -n 's/.*smtp listener on //p' "$dir/$1.log" | head -n 1)
      return
    fi
    kill -0 "${pids[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  echo "demo: $1 did not start; it said:" >&2
  cat "$dir/$1.log" >&2
  exit 1
}

letter() {
  printf 'From: Me <me@example.com>\nTo: You <you@example.org>\nSubject: message %d, %s\n\nHello from the demo.\n' "$1" "$2"
}

export KUMO_SINK_LISTEN=127.0.0.1:0 KUMO_SINK_SHOW=1
start sink policy/sink.lua
export KUMO_DEMO_SINK=$address
start kumo scripts/demo.lua
echo "kumo takes mail on $address and delivers to the sink on $KUMO_DEMO_SINK"

echo
echo "sending five messages by SMTP and five by pipe:"
for i in 1 2 3 4 5; do
  letter "$i" 'by SMTP' | "$kumo" inject --smtp "$address" --from me@example.com --to you@example.org
done
for i in 6 7 8 9 10; do
  letter "$i" 'by pipe' | "$kumo" inject --policy scripts/demo.lua --from me@example.com --to you@example.org
done

arrived() { grep -c ' arrived ' "$dir/sink.log" || true; }
delivered() { "$kumo" log tail --logs "$dir/kumo/demo/logs" --all --type Delivery --format jsonl 2>/dev/null | wc -l; }
for _ in $(seq 300); do
  [ "$(arrived)" -ge 10 ] && [ "$(delivered)" -ge 10 ] && break
  sleep 0.1
done

echo
echo "what kumo did (kumo log tail):"
"$kumo" log tail --logs "$dir/kumo/demo/logs" --all --format text
echo
echo "what the sink said:"
grep ' arrived ' "$dir/sink.log" || true

count=$(arrived)
echo
echo "$count of 10 messages arrived"
[ "$count" = 10 ] || { cat "$dir/kumo.log" "$dir/sink.log" >&2; exit 1; }
