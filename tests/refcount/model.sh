#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# count.pml, searched by Spin through all states; then each of its mutants, which must fail.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
. tests/tap.sh

MUTANTS=11
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
model=$PWD/tests/refcount/count.pml

# search DEFINE...: all states; shows Spin's summary
search() {
    (
        cd "$work" && spin "$@" -a "$model" >log 2>&1 &&
            ${CC:-gcc} -O0 -DSAFETY -DCOLLAPSE -DVECTORSZ=4096 -o pan pan.c >>log 2>&1 ||
            { tail -n 5 log; exit 1; }
        timeout 500 ./pan -m200000 -w22 >summary 2>&1
        grep -E 'errors:|states, stored|pan:|too small' summary
    )
}

# The whole space was searched and nothing found.
holds() {
    local text
    text=$(search "$@") || { echo "$text"; return 1; }
    echo "$text"
    [[ $text == *'errors: 0'* && $text != *'too small'* && $text != *'out of memory'* ]]
}

# An assertion was violated, or the end never came.
fails() {
    local text
    text=$(search "$@")
    echo "$text"
    [[ $text == *'assertion violated'* || $text == *'invalid end state'* ]]
}

ageing=(-DTHREADS=1 -DSTEPS=8 -DLIMIT=1)
tap_ok "two threads, three steps each" holds
tap_pass "$(grep 'states, stored' "$work/summary" | xargs)"
tap_ok "three threads, one step each" holds -DTHREADS=3 -DSTEPS=1
tap_pass "$(grep 'states, stored' "$work/summary" | xargs)"
tap_ok "one thread, eight steps: how long a loan lasts" holds "${ageing[@]}"
tap_pass "$(grep 'states, stored' "$work/summary" | xargs)"
killed=0
for mutant in $(seq $MUTANTS); do
    what=$(sed -n "s|^#if MUTANT == $mutant /\* \(.*\) \*/|\1|p" "$model")
    size=(-DSTEPS=2)
    [ "$mutant" -ne 11 ] || size=("${ageing[@]}")
    if output=$(fails "${size[@]}" -DMUTANT="$mutant"); then
        killed=$((killed + 1))
        tap_pass "noticed: $what"
    else
        tap_fail "noticed: $what" "$output"
    fi
done
echo "# $killed of $MUTANTS mutants were noticed"
tap_done
