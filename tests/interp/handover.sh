#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A program whose threads hand work to each other takes no longer with the GIL elided than with the
# plain one, but for one part in twenty; and when they stop doing so they run beside each other
# again (evidence: emulated).
#
# handover.sh [PYTHON]
. tests/interp/emulated.sh

# measure MODE: into files of that name
measure() {
    emulated "$1" tests/interp/handover.py >"$work/$1" 2>&1
}

# time_of MODE NAME
time_of() {
    sed -n "s/^$2 //p" "$work/$1"
}

measure 0 &
measure 1
wait
for mode in 0 1; do
    tap_is "PYTHON_ELISION=$mode: results are right" "$(cut -d' ' -f1 "$work/$mode" | xargs)" \
        "queue arithmetic"
done
plain=$(time_of 0 queue) elided=$(time_of 1 queue)
tap_ok "a queue: $elided us elided, $plain us plain" test "$((elided * 95))" -le "$((plain * 100))"
plain=$(time_of 0 arithmetic) elided=$(time_of 1 arithmetic)
tap_ok "afterwards, arithmetic: $elided us elided, $plain us plain" \
    test "$((elided * 2))" -le "$plain"
tap_done
