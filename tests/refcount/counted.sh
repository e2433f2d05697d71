#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Instructions per pair of increment and decrement, counted by callgrind (evidence: counted): the
# difference of two runs, less the loop and the call.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
. tests/tap.sh

out=${OUT:-out}
log=$(mktemp -d) || exit 2
trap 'rm -rf "$log"' EXIT

# instructions KIND COUNT
instructions() {
    valgrind --tool=callgrind --callgrind-out-file="$log/out" \
        "$out/tests/refcount/pairs" "$1" "$2" >"$log/text" 2>&1 || return
    sed -n 's/^summary: //p' "$log/out"
}

# per_pair KIND: in hundredths
per_pair() {
    local few many
    few=$(instructions "$1" 1000) && many=$(instructions "$1" 2000) && echo $(((many - few) / 10))
}

# at_most KIND LIMIT
none=$(per_pair none)
at_most() {
    local kind=$1 limit=$2 count
    count=$(($(per_pair "$kind") - none))
    if [ "$count" -gt 0 ] && [ "$count" -le $((limit * 100)) ]; then
        tap_pass "$kind: $((count / 100)) instructions a pair, at most $limit"
    else
        tap_fail "$kind: at most $limit instructions a pair" "counted $count hundredths"
    fi
}

at_most plain 4
at_most atomic 8
at_most table 25
at_most owner 25
# All of elision_ref_get and elision_ref_put: immortal? owner? in a section? then the table, and:
# was it the last?
at_most coalesced 37
tap_done
