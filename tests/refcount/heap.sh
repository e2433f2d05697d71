#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# heap.c's random programs: natively on the lock, with each sanitizer, and under rtmgrind in
# transactions. The emulated ones must have committed and aborted some.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
. tests/tap.sh

out=${OUT:-out}
heap=$out/tests/refcount/heap
log=$(mktemp -d) || exit 2
trap 'rm -rf "$log"' EXIT

tap_ok "natively, on the lock" timeout 300 "$heap" --programs=12 --sections=1500
tap_ok "natively, 8 threads, long sections" \
    timeout 300 "$heap" --seed=100 --programs=6 --threads=8 --sections=500 --steps=60
tap_ok "natively, one thread" timeout 300 "$heap" --seed=200 --programs=4 --threads=1
# The sanitizers lay memory out as if address space were not randomised more than they know of.
tap_ok "AddressSanitizer" \
    timeout 300 setarch -R "$heap-address" --seed=300 --programs=4 --sections=300
tap_ok "ThreadSanitizer" \
    timeout 300 setarch -R "$heap-thread" --seed=400 --programs=4 --sections=300

# emulated NAME ARG...
emulated() {
    local name=$1 commits aborts
    shift
    # Six tries each, whatever a policy would make of so many conflicts.
    tap_ok "$name" env ELISION_POLICY=static-6 timeout 300 \
        "$out/bin/rtmgrind" --quiet --json="$log/json" -- "$heap" "$@"
    commits=$(jq .totals.commits "$log/json")
    aborts=$(jq .totals.aborts.conflict "$log/json")
    if [ "${commits:-0}" -gt 200 ] && [ "${aborts:-0}" -gt 20 ]; then
        tap_pass "$name: $commits commits, $aborts aborts by conflict"
    else
        tap_fail "$name: transactions committed and aborted" "commits $commits, aborts $aborts"
    fi
}
emulated "emulated, 2 threads" --seed=500 --programs=4 --threads=2 --sections=200
emulated "emulated, 4 threads" --seed=600 --programs=4 --threads=4 --sections=200
emulated "emulated, 8 threads" --seed=700 --programs=3 --threads=8 --sections=120
tap_done
