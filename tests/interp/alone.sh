#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# While all other threads wait, one runs as it would with the plain GIL, and when another comes they
# run beside each other at once, not a switch interval later (evidence: emulated).
#
# alone.sh [PYTHON]
. tests/interp/emulated.sh

for mode in 0 1; do
    emulated "$mode" tests/interp/alone.py >"$work/$mode" 2>&1 &
done
wait
row=$(cat "$work/1")
# holds WHAT CONDITION: of the row
holds() {
    tap_ok "$1: $(jq -c "$3" "$work/1")" jq -e "$2" "$work/1"
}

tap_ok "the program ends well with either GIL: $row" jq -es 'length == 2' "$work/0" "$work/1"
holds "a thread beside one that waits begins hardly a transaction" '.alone < 20' .alone
holds "two begin many" '.pair > 100' .pair
plain=$(jq .microseconds "$work/0") elided=$(jq .microseconds "$work/1")
tap_ok "alone: $elided us elided, $plain us plain" test "$((elided * 100))" -le "$((plain * 105))"
holds "who comes need not wait for a switch interval" '.checks < 100000' .checks
holds "a child of fork begins anew" '.child[0] < 20 and .child[1] > 100' .child
holds "after much coming and going, alone" '.alone_again < 20' .alone_again
holds "after much coming and going, two" '.pair_again > 100' .pair_again
holds "and in a child" '.child_again[0] < 20 and .child_again[1] > 100' .child_again
tap_done
