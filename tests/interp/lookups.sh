#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Attributes whose names share an entry of the interpreter's type cache are right, and conflict no
# more than others (evidence: emulated).
#
# lookups.sh [PYTHON]
. tests/interp/emulated.sh

# measure KIND: into a file of that name
measure() {
    emulated 1 tests/interp/lookups.py "$1" 4 10000 >"$work/$1" 2>&1
}

measure apart &
measure same
wait
for kind in apart same; do
    tap_has "$kind: values are right" "$(cat "$work/$kind")" '"right": true'
done
read -r starts commits < <(jq -r '"\(.starts) \(.commits)"' "$work/same")
tap_ok "same: ${commits:-no} of ${starts:-no} transactions commit" \
    test "$((${commits:-0} * 10))" -ge "$((${starts:-1} * 9))"
slower=$(jq -s '.[0].seconds / .[1].seconds * 100 | round' "$work/same" "$work/apart")
tap_ok "same takes ${slower:-no} % of the time of apart" test "${slower:-1000}" -le 125
tap_done
