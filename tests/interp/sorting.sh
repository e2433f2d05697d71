#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A long sort takes the lock at its begin, not when it has outgrown the cache (evidence: emulated).
#
# sorting.sh [PYTHON]
. tests/interp/emulated.sh

emulated 1 tests/interp/sorting.py 500 3000 10000 >"$work/counts" 2>&1
counts=$(cat "$work/counts")
tap_is "the lists are sorted" "$(grep -c '"right": true' "$work/counts")" 3
tap_has "500 items are sorted in a transaction" "$counts" '"size": 500, "irrevocable": 0,'
for size in 3000 10000; do
    tap_has "$size items: the lock at once, six times" "$counts" \
        "\"size\": $size, \"irrevocable\": 6,"
    tap_ok "$size items: the cache is not outgrown first" jq -se --argjson size "$size" '
        .[] | select(.size == $size) | .capacity < 3' "$work/counts"
done
tap_done
