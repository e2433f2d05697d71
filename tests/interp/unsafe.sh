#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# An extension that needs the GIL stays exact with the GIL elided, and is shown to lose updates with
# the GIL off: otherwise the first proves nothing.
set -u -o pipefail
. tests/tap.sh

python=out/python/bin/python3
program=tests/interp/run_unsafe.py
export PYTHONPATH=out/tests/interp
unset PYTHON_GIL PYTHON_ELISION ELISION_BACKEND

# exact NAME COMMAND...: the program finds every update and the GIL is on.
exact() {
    local name=$1 output
    shift
    output=$("$@" 2>&1)
    tap_is "$name: no update is lost" "${output%%$'\n'*}" exact
    tap_has "$name: the import brought the GIL back" "$output" "gil=True"
}

exact "native, plain GIL" "$python" "$program" 8 3000 swap
exact "native, elision on" env PYTHON_ELISION=1 "$python" "$program" 8 3000 swap
exact "native, elision on, the library's lock (backend none)" \
    env PYTHON_ELISION=1 ELISION_BACKEND=none "$python" "$program" 8 3000 swap
exact "emulated, elided, 4 threads" \
    env PYTHON_ELISION=1 out/bin/rtmgrind --quiet "$python" "$program" 4 120 swap
exact "emulated, elided, 8 threads" \
    env PYTHON_ELISION=1 out/bin/rtmgrind --quiet --seed=7 "$python" "$program" 8 200 swap

# The threads fight over one counter, so the policy soon finds the lock cheaper. Told not to compare
# (ELISION_ARBITER=off), it keeps trying: here transactions must commit, and lose nothing.
insisted() { # insisted NAME THREADS CALLS RTMGRIND'S OPTION...
    local name=$1 threads=$2 calls=$3 commits
    shift 3
    output=$(PYTHON_ELISION=1 ELISION_ARBITER=off timeout --kill-after=5 300 out/bin/rtmgrind \
        --quiet --json="$report" "$@" "$python" "$program" "$threads" "$calls" swap 2>&1)
    tap_is "emulated, $name: no update is lost" "${output%%$'\n'*}" exact
    commits=$(sed -n 's/.*commits=\([0-9]*\).*/\1/p' <<<"$output")
    tap_ok "emulated, $name: transactions commit (${commits:-none})" test "${commits:-0}" -gt 0
}
report=$(mktemp)
trap 'rm -f "$report"' EXIT
insisted "transactions insisted on" 4 600
tap_has "emulated: the GIL really is elided" "$output" "active=True"
tap_has "elision.gil_modules() names the extension" "$output" "modules=['unsafe_counter']"
for seed in 1 2 3; do
    insisted "1 abort in 20 injected, seed $seed" 8 200 --abort-rate=500 --seed=$seed
    injected=$(jq .totals.aborts.injected "$report")
    tap_ok "and they were injected ($injected)" test "$injected" -gt 20
done
# Of the instructions that all threads together run in transactions, a million and more.
for at in 3 50 700 9000 60000 200000; do
    insisted "an abort at instruction $at" 8 200 --abort-at=$at
    tap_is "and it was injected" "$(jq .totals.aborts.injected "$report")" 1
done

output=$(PYTHON_GIL=0 out/bin/rtmgrind --quiet "$python" "$program" 4 120 2>&1)
tap_has "emulated, GIL off: updates are lost, so the others prove something" "$output" "lost: "

tap_done
