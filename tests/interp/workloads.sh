#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Ten kinds of Python work with the GIL elided on four threads (evidence: emulated): results are
# right, and at least nine transactions in ten commit. It guards against a collapse; the figures
# themselves are in docs/refcount.md.
set -u -o pipefail
. tests/tap.sh

python=out/python/bin/python3
program=tests/interp/workloads.py
unset ELISION_BACKEND
export PYTHON_GIL=1 PYTHON_ELISION=1 PYTHONHASHSEED=0
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

"$python" "$program" --list >"$work/list"
xargs -P 2 -I{} sh -c "timeout 300 out/bin/rtmgrind --quiet $python $program {} 4 1500 \
    >$work/{}.json 2>&1" <"$work/list"
while read -r name; do
    result=$(cat "$work/$name.json")
    tap_has "$name: results are right" "$result" '"right": true'
    starts=$(sed -n 's/.*"starts": \([0-9]*\).*/\1/p' <<<"$result")
    commits=$(sed -n 's/.*"commits": \([0-9]*\).*/\1/p' <<<"$result")
    tap_ok "$name: ${commits:-no} of ${starts:-no} transactions commit" \
        test "$((${commits:-0} * 10))" -ge "$((${starts:-1} * 9))"
done <"$work/list"
tap_done
