#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# step.sh MODE FILE COMMAND...: runs suite.py as COMMAND says and leaves what it printed in FILE, in
# Google Benchmark's form, with MODE as the name of the lock. Exit status: the command's, or 1 if
# the elided GIL committed nothing in all of it.
set -u -o pipefail

mode=$1
file=$2
shift 2
"$@" >"$file.rows"
status=$?
jq --arg mode "$mode" '{context: {}, benchmarks: map(
    {name: "interp/\(.workload)/\($mode)/real_time/threads:\(.threads)",
     run_name: "interp/\(.workload)/\($mode)/real_time/threads:\(.threads)",
     run_type: "iteration", repetitions: 1, repetition_index: 0, threads, iterations: 1,
     real_time: (.seconds * 1e9), cpu_time: (.seconds * 1e9), time_unit: "ns"}
    + (if .error then {error_occurred: true, error_message: .error} else {} end)
    + del(.workload, .threads, .seconds, .error))}' "$file.rows" >"$file" || status=1
if [ "$mode" = "elided GIL" ] &&
    ! jq -e 'any(.[]; (.commits // 0) > 0)' "$file.rows" >/dev/null; then
    echo "ERROR: no program ran anything by a transaction" >&2
    status=1
fi
rm -f "$file.rows"
exit "$status"
