#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The short form of the benchmarks: each kind of evidence in a file of its own, repeatable where
# time is virtual, readable by Google Benchmark's own tool.
set -u
. tests/tap.sh

bench=out/bin/elision-bench
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# run DIR [MODE]: with what the environment says.
run() {
    bench/run.sh "${2-quick}" $bench out/bin/rtmgrind out/python/bin/python3 "$1" 2>&1
}

started=$(date +%F)
tap_ok "the short form runs" run "$dir/out"
tap_has "each file has the date of the day" "$started $(date +%F)" \
    "$(jq -rs 'map(.context.date[:10]) | unique | join(" ")' "$dir"/out/*.json)"
tap_has "progress says how much is left" "$(SUITES=cost run "$dir/cost")" "about 0:00 left"
tap_is "every result is there and none is an error" \
    "$(jq -s '[.[].benchmarks[]] | (length > 20) and (map(.error_occurred) | any | not)' \
        "$dir"/out/*.json)" true
tap_is "each file says its kind of evidence" \
    "$(jq -r '.context.evidence + ".json"' "$dir"/out/*.json)" "$(cd "$dir/out" && ls -- *.json)"
tap_has "the report is written" "$(cat "$dir/out/report.md" 2>&1)" "| disjoint / elided |"

tap_is "a step of two threads is reported as long as one of them takes" \
    "$(sed -n 's/^| abort-conflict [^|]*| *| \(.*\) |$/\1/p' "$dir/out/report.md")" \
    "$(jq '.benchmarks[] | select(.name | test("abort-conflict"))
        | .real_time * 200 | round / 100' "$dir"/out/emulated.json 2>/dev/null)"

tap_is "locks are compared in rounds" \
    "$(grep -cE '^\| (empty|bank|think|hold), [124] \| [0-2] of 2 \| ' "$dir/out/report.md")" 12

for key in cpu kernel microcode page_size plan policy smt taa topology tsx backend; do
    tap_is "context: $key" "$(jq -s "map(.context.$key != null) | all" "$dir"/out/*.json)" true
done

tap_has "and shows a plot" "$(cat "$dir/out/report.md")" "](speed-up-"
tap_is "every plot it shows is there" "$(sed -n 's/^!.*(\(.*\))$/\1/p' "$dir/out/report.md" |
    while read -r plot; do [ -s "$dir/out/$plot" ] || echo "$plot"; done)" ""

# refused NAME WHAT COMMAND...: exit status 2 and one line that says WHAT.
refused() {
    local name=$1 what=$2 output
    shift 2
    output=$("$@" 2>&1 >/dev/null)
    tap_is "$name: status" $? 2
    tap_has "$name: says so" "$output" "$what"
}
# shellcheck disable=SC2329  # called through refused
go() { bench/run.sh "$1" $bench out/bin/rtmgrind out/python/bin/python3 "$dir/refused"; }
SUITES="cost wonder" refused "a suite that is not there" "no suite is called 'wonder'" go quick
SEEDS=one refused "a seed that is no number" "SEEDS wants numbers" go quick
JOBS=0 refused "no job at a time" "JOBS wants a positive number" go quick
ROUNDS=0 refused "no round" "ROUNDS wants a positive number" go quick
refused "an unknown form" "wants quick or full" go slow
refused "too few arguments" "usage" bench/run.sh quick

# A machine with RTM, which the emulator stands for: all is native there, and repeated.
printf '#!/bin/sh\nexec out/bin/rtmgrind --quiet -- %s "$@"\n' $bench >"$dir/machine"
chmod +x "$dir/machine"
NATIVE_TIME=0.0001 REPETITIONS=2 SUITES="cost lock policy" PRESETS="tbb adaptive" \
    tap_ok "where transactions work, all is measured natively" \
    bench/run.sh quick "$dir/machine" no no "$dir/hardware"
tap_is "in one file" "$(cd "$dir/hardware" && echo -- *.json)" "-- hardware.json"
tap_is "with each policy by its name, twice" "$(jq -c '[.benchmarks[]
    | select(.run_type == "iteration" and (.name | test("^policy/bank/.*:4$"))).name
    | split("/")[2]] | sort' "$dir/hardware/hardware.json")" \
    '["adaptive","adaptive","tbb","tbb"]'
tap_ok "and a policy map" test -s "$dir/hardware/policy-hardware.svg"

tap_is "policies are compared with a fixed number of tries" \
    "$($bench --show-policies | grep -x 'adaptive\|static-.*' | xargs)" "adaptive static-4"

# A step that fails: no report, its message, its status.
printf '#!/bin/sh\ncase $* in *--benchmark_list_tests*) exit 0;; esac\n%s\n' \
    'echo "elision-bench: broken on purpose" >&2; exit 7' >"$dir/broken"
chmod +x "$dir/broken"
output=$(SUITES=cost bench/run.sh quick "$dir/broken" out/bin/rtmgrind no "$dir/failed" 2>&1)
tap_is "a step that fails: its status" $? 7
tap_has "its message" "$output" "broken on purpose"
tap_ok "no report" test ! -e "$dir/failed/report.md"

# Emulated figures repeat exactly.
if [ -e "$dir/out/emulated.json" ]; then
    for n in 1 2; do
        out/bin/rtmgrind --quiet -- $bench '--benchmark_filter=lock/bank/elided' \
            --benchmark_min_time=0.0003 --benchmark_format=json 2>/dev/null |
            jq -c '[.benchmarks[] | [.name, .real_time, .commits, .iterations]]' >"$dir/$n"
    done
    tap_ok "there is a result" grep -q 'lock/bank' "$dir/1"
    tap_ok "emulated figures repeat" cmp "$dir/1" "$dir/2"
else
    tap_skip "emulated figures repeat" "transactions run natively here"
fi

tap_ok "a filter selects" $bench '--benchmark_filter=^cost/empty/plain' --benchmark_min_time=0.001

# Google Benchmark's own tool, from its package, reads our files. It imports scipy and numpy, which
# are large, for three functions; where they are missing compare/ has these.
compare=/usr/share/benchmark/compare.py
python=/usr/bin/python3
if [ -e $compare ] && [ -x $python ]; then
    $python -c 'import scipy' 2>/dev/null || export PYTHONPATH=tests/bench/compare
    export PYTHONDONTWRITEBYTECODE=1
    for file in "$dir"/out/*.json; do
        # The same file with every time doubled.
        jq '.benchmarks |= map(if .real_time then .real_time *= 2 else . end)' "$file" >"$dir/twice"
        output=$($python $compare --no-color benchmarks "$file" "$dir/twice" 2>&1)
        tap_is "compare.py reads $(basename "$file")" $? 0
        tap_has "and sees times doubled" "$output" " +1.0000 "
        tap_is "for each benchmark, in order" "$(grep -c '/threads:.* +1\.0000 ' <<<"$output")" \
            "$(jq '.benchmarks | length' "$file")"
    done
else
    tap_skip "compare.py reads our JSON" "no $compare (package libbenchmark-tools) or no $python"
fi
tap_done
