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
        ${options[@]+"${options[@]}"} >"$dir/json" 2>"$dir/err"
}
options=()

# result_is NAME FILTER WANTED: what jq's FILTER makes of the results.
result_is() {
    tap_is "$1" "$(jq -c ".benchmarks | $2" "$dir/json")" "$3"
}

# fails WHAT MESSAGE FILTER [PREFIX...]: a benchmark that must fail and say so.
fails() {
    local what=$1 message=$2
    shift 2
    run "$@"
    tap_is "$what: status" $? 1
    result_is "$what: its reason is reported" '.[0].error_message' "\"$message\""
    tap_has "$what: and said" "$(cat "$dir/err")" "failed: $message"
}

run '^shim/counted'
tap_is "benchmarks that succeed: status" $? 0
tap_is "set-up and tear-down see what they should" "$(grep shim: "$dir/err")" ""
result_is "names and threads" 'map(.name)' \
    '["shim/counted/real_time/threads:1","shim/counted/real_time/threads:3"]'
result_is "rounds are what iterations say" \
    'map(.rounds >= .iterations and .rounds < .iterations + 24)' "[true,true]"
result_is "a sum is over the threads" 'map(.sum)' "[1,3]"
result_is "a mean is not" 'map(.mean)' "[1,1]"
result_is "a rate is rounds a second of real time" \
    'map(.rate * .real_time * .iterations * 1e-9 / .rounds | . > 0.9 and . < 1.1)' "[true,true]"
result_is "one set-up stands open during a run" 'map(.set_ups_less_tear_downs)' "[1,1]"

run '^shim/(valued|plain)'
result_is "each value is a run of its own; none is -1" \
    'map((.name | sub("/real_time.*"; "")) + "=" + (.value | tostring))' \
    '["shim/valued/5=5","shim/valued/500=500","shim/plain=-1"]'

run '^shim/lopsided'
result_is "time is that of the slowest thread, for all" \
    '.[0] | .real_time * .iterations * 1e-9 / .seconds > 0.5' true # one third if each had its own
result_is "when the first thread finished it had done all of its rounds, others as many or fewer" \
    '.[0] | [.most_rounds == .iterations / 3, .least_rounds <= .most_rounds]' "[true,true]"

fails "a thread that leaves before the loop" "left early" '^shim/leaving.*threads:3$'
fails "a benchmark that fails" "on purpose" '^shim/failing'

# Whichever of three repetitions is the one that fails, and whichever run within the first.
options=(--benchmark_repetitions=3)
run '^shim/once/'
tap_is "one repetition fails: status" $? 1
result_is "a benchmark has three repetitions, failed or not" \
    '[group_by(.run_name)[] | map(select(.run_type == "iteration")) | length] | unique' "[3]"
result_is "some fail, each where it fails and ever after" \
    'map(select(.run_type == "iteration")) | group_by(.run_name)
        | [map(map(.error_occurred // false)) | .[] | tostring] | unique | map(fromjson)
        | [all(. == sort), length > 2]' "[true,true]"
options=()

fails "a lock that lets all in" "the result is wrong: an update was lost or a half-done section \
was seen" '^judge/map-write/no-lock' out/bin/rtmgrind --quiet --
fails "a lock that never runs its section" "no section was run" '^judge/empty/idle'
for lock in boaster irrevocable; do
    fails "a lock that never commits ($lock)" \
        "no section was run by a transaction although transactions work here" \
        "^judge/disjoint/$lock" out/bin/rtmgrind --quiet --
done
tap_done
