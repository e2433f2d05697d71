#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# speed.sh [ROUNDS]: CPU time under rtmgrind beside valgrind --tool=none and helgrind, as a Markdown
# table of ratios. The runs of a row are interleaved, each figure is a median. Evidence: native (the
# emulator's own time on this machine), not virtual cycles.
set -u

rounds=${1:-5}
rtmgrind=${RTMGRIND:-out/bin/rtmgrind}
program=out/tests/rtmgrind/schedule
python=/usr/bin/python3
patched=out/python/bin/python3 # make python
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "usage: speed.sh [ROUNDS]" >&2; exit 2; }

# cpu FILE COMMAND...: its user and system time in milliseconds goes to FILE.
cpu() {
    local file=$1 TIMEFORMAT='%U %S' user system
    shift
    read -r user system < <({ time "$@" >/dev/null 2>&1; } 2>&1)
    awk -v u="$user" -v s="$system" 'BEGIN { printf "%d\n", (u + s) * 1000 }' >>"$file"
}

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

row() {
    local title=$1 i
    shift
    rm -f "$dir"/*
    for ((i = 0; i < rounds; i++)); do
        cpu "$dir/none" valgrind --tool=none --quiet "$@"
        cpu "$dir/rtm" "$rtmgrind" --quiet "$@"
        cpu "$dir/hel" valgrind --tool=helgrind --quiet "$@"
    done
    awk -v t="$title" -v n="$(median "$dir/none")" -v r="$(median "$dir/rtm")" \
        -v h="$(median "$dir/hel")" 'BEGIN {
        printf "| %s | %d | %d | %d | %.2f | %.2f |\n", t, n, r, h, r / n, r / h }'
}

echo "Evidence: native. CPU milliseconds, medians of $rounds interleaved runs."
echo
echo "| program | none | rtmgrind | helgrind | rtmgrind : none | rtmgrind : helgrind |"
echo "|---|---|---|---|---|---|"
[ ! -x "$python" ] || row "CPython start-up, no transactions" "$python" -c pass
row "a program that does nothing" "$program" plain 1 1
row "4 threads, locks, no transactions" "$program" plain 4 2000000
row "1 thread, 2000000 transactions of 10 instructions" "$program" private 1 2000000
row "4 threads, 4 x 1000000 of these, each its own line" "$program" private 4 1000000
row "4 threads, 4 x 50000 of these, all one line" "$program" counter 4 50000
if [ -x "$patched" ]; then
    export PYTHON_GIL=1 PYTHON_ELISION=1 PYTHONHASHSEED=0
    for kind in arithmetic dicts json_dumps; do
        row "CPython, 4 threads, GIL elided: $kind" \
            "$patched" tests/interp/workloads.py "$kind" 4 2000
    done
fi
export PEER_MOVES=100000
for peer in tbb libitm ck; do
    [ ! -x "out/tests/rtmgrind/peer_$peer" ] ||
        row "4 threads, bank on $peer's transactions" "out/tests/rtmgrind/peer_$peer"
done
# The same for ten times as long: what start-up costs matters less.
row "4 threads, 4 x 500000 transactions, all one line" "$program" counter 4 500000
row "4 threads, 4 x 500000 transactions, all the same two lines" "$program" pair 4 500000
export PEER_MOVES=1000000
for peer in tbb ck; do
    [ ! -x "out/tests/rtmgrind/peer_$peer" ] ||
        row "4 threads, longer, bank on $peer's transactions" "out/tests/rtmgrind/peer_$peer"
done
