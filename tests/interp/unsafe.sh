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
    env PYTHON_ELISION=1 out/bin/rtmgrind --quiet --seed=7 "$python" "$program" 8 60 swap
exact "emulated, elided, 1 abort in 20 injected" \
    env PYTHON_ELISION=1 out/bin/rtmgrind --quiet --abort-rate=500 "$python" "$program" 4 100 swap

# The threads fight over one counter, so the policy soon finds the lock cheaper. Told not to compare
# (ELISION_ARBITER=off), it keeps trying: here transactions must commit, and lose nothing.
output=$(PYTHON_ELISION=1 ELISION_ARBITER=off out/bin/rtmgrind --quiet "$python" "$program" 4 600 \
    swap 2>&1)
tap_is "emulated, transactions insisted on: no update is lost" "${output%%$'\n'*}" exact
tap_has "emulated: the GIL really is elided" "$output" "active=True"
commits=$(sed -n 's/.*commits=\([0-9]*\).*/\1/p' <<<"$output")
tap_ok "emulated: transactions commit (${commits:-none})" test "${commits:-0}" -gt 0
tap_has "elision.gil_modules() names the extension" "$output" "modules=['unsafe_counter']"

output=$(PYTHON_GIL=0 out/bin/rtmgrind --quiet "$python" "$program" 4 120 2>&1)
tap_has "emulated, GIL off: updates are lost, so the others prove something" "$output" "lost: "

tap_done
