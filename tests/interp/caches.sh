#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Caches of functools keep what they are documented to keep, in that order, whatever sections their
# hits are in, and threads that hit one cache run beside each other (evidence: emulated).
#
# caches.sh [PYTHON [exact|hits]]
. tests/interp/emulated.sh
part=${2:-}

# Most threads have their own, and few conflicts, so sections are aborted by force, too.
if [ "$part" != hits ]; then
    for rate in 0 300; do
        tap_is "exact: aborts injected: $rate of 10000" \
            "$(PYTHON_ELISION=1 timeout -k 5 300 out/bin/rtmgrind --quiet --abort-rate="$rate" \
                "$python" tests/interp/caches.py exact "$rate" 2>&1)" exact
    done
fi

# measure SIZE SHARE: of the plain GIL's time, per cent
measure() {
    local plain share
    plain=$(emulated 0 tests/interp/caches.py hits "$1" 4 8000 | jq .seconds)
    emulated 1 tests/interp/caches.py hits "$1" 4 8000 >"$work/hits" 2>&1
    share=$(jq --argjson plain "${plain:-0}" '100 * .seconds / $plain | round' "$work/hits")
    tap_ok "hits of $1: ${share:-no} % of the plain GIL's time on 4 threads" \
        test "${share:-100}" -le "$2"
}

if [ "$part" != exact ]; then
    measure 0 35
    measure 100 90 # 16 entries move at each section's end: 40 to 66 by seed
fi
tap_done
