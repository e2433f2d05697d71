#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What bench.h promises, by benchmarks whose outcome is known; and that locks which lose updates, do
# nothing or do not speculate are found out.
set -u
. tests/tap.sh

shim=out/tests/bench/shim
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# run FILTER [PREFIX...]: result in $dir/json, messages in $dir/err; the status is the program's.
run() {
    local filter=$1
    shift
    "$@" $shim --benchmark_filter="$filter" --benchmark_min_time=0.001 --benchmark_format=json \
        >"$dir/json" 2>"$dir/err"
}

run '^shim/counted'
tap_is "benchmarks that succeed: status" $? 0
tap_is "set-up and tear-down see what they should" "$(grep shim: "$dir/err")" ""
tap_is "names and threads" "$(jq -r '.benchmarks[].name' "$dir/json" | xargs)" \
    "shim/counted/real_time/threads:1 shim/counted/real_time/threads:3"
tap_is "rounds are what iterations say" \
    "$(jq -c '[.benchmarks[] | .rounds >= .iterations and .rounds < .iterations + 24]' \
        "$dir/json")" "[true,true]"
tap_is "a sum is over the threads" "$(jq -c '[.benchmarks[].sum]' "$dir/json")" "[1,3]"
tap_is "a mean is not" "$(jq -c '[.benchmarks[].mean]' "$dir/json")" "[1,1]"
tap_is "a rate is rounds a second of real time" \
    "$(jq -c '[.benchmarks[] | .rate * .real_time * .iterations * 1e-9 / .rounds
        | . > 0.9 and . < 1.1]' "$dir/json")" "[true,true]"
tap_is "one set-up stands open during a run" \
    "$(jq -c '[.benchmarks[].set_ups_less_tear_downs]' "$dir/json")" "[1,1]"

run '^shim/(valued|plain)'
tap_is "each value is a run of its own; none is -1" \
    "$(jq -r '.benchmarks[] | (.name | sub("/real_time.*"; "")) + "=" + (.value | tostring)' \
        "$dir/json" | xargs)" \
    "shim/valued/5=5 shim/valued/500=500 shim/plain=-1"

run '^shim/lopsided.*threads:3$'
tap_is "time is that of the slowest thread, for all" \
    "$(jq -c '.benchmarks[0] | [.ratio > 3, .real_time * .iterations / .busy_ns > 0.9]' \
        "$dir/json")" "[true,true]"

run '^shim/leaving.*threads:3$'
tap_is "a thread that leaves before the loop fails the run and holds up nobody" \
    "$? $(jq -r '.benchmarks[0].error_message' "$dir/json")" "1 left early"

run '^shim/failing'
tap_is "a benchmark that fails: status" $? 1
tap_is "its reason is reported" "$(jq -r '.benchmarks[0].error_message' "$dir/json")" "on purpose"

run '^judge/map-write/no-lock' out/bin/rtmgrind --quiet --
tap_is "a lock that lets all in: status" $? 1
tap_has "a lost update is found out" "$(cat "$dir/json")" "the result is wrong"
run '^judge/empty/idle'
tap_is "a lock that never runs its section: status" $? 1
tap_has "no work is found out" "$(cat "$dir/json")" "no section was run"
run '^judge/disjoint/boaster' out/bin/rtmgrind --quiet --
tap_is "a lock that never speculates: status" $? 1
tap_has "no commit is found out" "$(cat "$dir/json")" "no section was run by a transaction"
tap_done
