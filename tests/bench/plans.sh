#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Placement plans on synthetic topologies, and what happens to those that cannot be.
set -u
. tests/tap.sh

bench=out/bin/elision-bench
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# plan_is TOPOLOGY PLAN NUMBERS
plan_is() {
    local shown
    shown=$($bench --show-plan --topology="$1" --plan="$2" 2>&1)
    tap_is "$2 on $1" "${shown##*hardware threads:}" "$3"
}

# refused NAME WHAT ARGUMENT...: exit status 2 and one line that says WHAT.
refused() {
    local name=$1 what=$2 output
    shift 2
    output=$($bench "$@" 2>&1 >/dev/null </dev/null)
    tap_is "$name: status" "$?" 2
    tap_is "$name: one line" "$(wc -l <<<"$output")" 1
    tap_has "$name: says so" "$output" "$what"
}

two="package:2 core:4 pu:2"
plan_is "$two" compact " 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"
plan_is "$two" scatter " 0 8 2 10 4 12 6 14 1 9 3 11 5 13 7 15"
plan_is "$two" one-per-core " 0 2 4 6 8 10 12 14"
plan_is "$two" smt-pairs " 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"
plan_is "$two" one-socket " 0 2 4 6 1 3 5 7"
plan_is "$two" explicit:3,5-7,0 " 3 5 6 7 0"
plan_is "$two" none ""

plan_is "package:1 core:2 pu:1" compact " 0 1"
plan_is "package:1 core:2 pu:1" scatter " 0 1"
plan_is "package:1 core:2 pu:1" one-socket " 0 1"

# Numbers as many machines have them: second hardware threads come after all first ones.
plan_is "package:2 core:2 pu:2(indexes=0,4,1,5,2,6,3,7)" compact " 0 4 1 5 2 6 3 7"
plan_is "package:2 core:2 pu:2(indexes=0,4,1,5,2,6,3,7)" one-per-core " 0 1 2 3"
plan_is "package:2 core:2 pu:2(indexes=0,4,1,5,2,6,3,7)" scatter " 0 2 1 3 4 6 5 7"

plan_is "package:4 numa:1 l3:1 core:1 pu:1" scatter " 0 1 2 3"
plan_is "package:4 numa:1 l3:1 core:1 pu:1" one-socket " 0"
plan_is "package:1 core:3 pu:4" one-socket " 0 4 8 1 5 9 2 6 10 3 7 11"

if command -v lstopo-no-graphics >/dev/null; then
    lstopo-no-graphics -i "$two" --of xml "$dir/two.xml" >/dev/null 2>&1
    tap_has "a topology from HWLOC_XMLFILE" \
        "$(HWLOC_XMLFILE=$dir/two.xml $bench --show-plan --plan=one-socket)" \
        "2 sockets, 8 cores, 16 hardware threads: 0 2 4 6 1 3 5 7"
else
    tap_skip "a topology from HWLOC_XMLFILE" "no lstopo-no-graphics (package hwloc-nox)"
fi

refused "unknown plan" 'no plan "sideways"' --plan=sideways
refused "no such hardware thread" "no hardware thread 99" --topology="$two" --plan=explicit:99
refused "a broken list" "wants a list" --plan=explicit:1-
refused "an empty list" "wants a list" --plan=explicit:
refused "smt-pairs without SMT" "no core here has two" --topology="core:2 pu:1" \
    --plan=smt-pairs
refused "a bad synthetic topology" "not a synthetic topology" --topology="core:many"
echo "<topology>" >"$dir/bad.xml"
HWLOC_XMLFILE=$dir/bad.xml refused "a broken XML file" "HWLOC_XMLFILE"
HWLOC_XMLFILE=$dir/none.xml refused "an XML file that is not there" "HWLOC_XMLFILE"
refused "a filter that matches nothing" "Failed to match any benchmarks" \
    --benchmark_filter=nothing/at/all
refused "an unknown option" "unrecognized command-line flag" --nonsense

# A plan for another machine must not quietly run somewhere else.
output=$($bench --topology="$two" --plan=compact --benchmark_filter=cost/empty/plain 2>&1)
tap_is "a plan for another machine fails" "$?" 1
tap_has "and says why" "$output" "not this machine's"
tap_done
