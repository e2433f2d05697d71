#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The short form of the benchmarks: each kind of evidence in a file of its own, repeatable where
# time is virtual, readable by Google Benchmark's own tool.
set -u
. tests/tap.sh

bench=out/bin/elision-bench
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

tap_ok "the short form runs" bench/run.sh quick $bench out/bin/rtmgrind "$dir/out"
tap_is "every result is there and none is an error" \
    "$(jq -s '[.[].benchmarks[]] | (length > 20) and (map(.error_occurred) | any | not)' \
        "$dir"/out/*.json)" true
tap_is "each file says its kind of evidence" \
    "$(jq -r '.context.evidence + ".json"' "$dir"/out/*.json)" "$(cd "$dir/out" && ls -- *.json)"
tap_has "the report is written" "$(cat "$dir/out/report.md" 2>&1)" "lock/disjoint/elided"

for key in cpu kernel microcode page_size plan policy smt taa topology tsx backend; do
    tap_is "context: $key" "$(jq -s "map(.context.$key != null) | all" "$dir"/out/*.json)" true
done

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

compare=/usr/share/benchmark/compare.py
if [ -e $compare ] && /usr/bin/python3 -c 'import scipy' 2>/dev/null; then
    file=$(find "$dir/out" -name "*.json" | head -n 1)
    tap_has "compare.py reads our JSON" \
        "$(/usr/bin/python3 $compare benchmarks "$file" "$file" 2>&1)" "cost/"
else
    tap_skip "compare.py reads our JSON" "libbenchmark-tools or scipy is not installed"
fi
tap_done
