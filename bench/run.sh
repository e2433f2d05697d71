#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run.sh quick|full BENCH RTMGRIND DIR: measures, and leaves in DIR one Google Benchmark JSON file
# for each kind of evidence, report.md, and plots. Without RTM, transactions are measured under the
# emulator, in virtual time; what needs none is measured natively. Never both in one table.
# Exit status: 0, or that of the first benchmark that failed.
set -u -o pipefail

mode=$1
bench=$2
rtmgrind=$3
dir=$4
here=$(dirname "${BASH_SOURCE[0]}")
status=0

die() {
    printf 'bench: %s\n' "$*" >&2
    exit 2
}

# A batch under the emulator is deterministic: one repetition, and short, says all.
case $mode in
    quick)
        native=(--benchmark_min_time=0.01 --benchmark_repetitions=3)
        emulated=(--benchmark_min_time=0.0003)
        emulated_filter='^cost/.*/speculative|^lock/(disjoint|counter|bank|map-read)/'
        ;;
    full)
        native=(--benchmark_min_time=0.1 --benchmark_repetitions=9)
        emulated=(--benchmark_min_time=0.002)
        emulated_filter='^cost/.*/speculative|^lock/'
        ;;
    *) die "wants quick or full, not '$mode'" ;;
esac
native+=(--benchmark_enable_random_interleaving=true)
command -v jq >/dev/null || die "no jq here: install it, or run make without SETUP=0"
mkdir -p "$dir" || die "cannot write to $dir: check its permissions"
rm -f "$dir"/*.json "$dir"/*.md "$dir"/*.svg

# measure KIND COMMAND...: the JSON goes to DIR/KIND.json, one line a benchmark to the terminal.
measure() {
    local kind=$1
    shift
    echo "bench: $kind: $*"
    "$@" --benchmark_out="$dir/$kind.json" --benchmark_out_format=json \
        --benchmark_format=console --benchmark_color=false >"$dir/$kind.log" 2>&1
    local result=$?
    if [ "$result" -ne 0 ]; then
        grep -E 'ERROR|elision-bench:|rtmgrind' "$dir/$kind.log" | head -n 5 >&2
        echo "bench: $kind failed with status $result; log in $dir/$kind.log" >&2
        [ "$status" -ne 0 ] || status=$result
        return
    fi
    jq -r '"bench: \(.context.evidence): \(.benchmarks | length) results, plan \(.context.plan)"' \
        "$dir/$kind.json"
}

if "$bench" --benchmark_list_tests 2>/dev/null | grep -q '/speculative'; then
    measure hardware "$bench" "${native[@]}"
else
    measure native "$bench" "${native[@]}" '--benchmark_filter=^cost/|^fallback/'
    [ -x "$rtmgrind" ] || die "no RTM on this machine and no $rtmgrind: install valgrind, run make"
    measure emulated "$rtmgrind" --quiet -- "$bench" "${emulated[@]}" \
        "--benchmark_filter=$emulated_filter"
fi
[ "$status" -eq 0 ] || exit "$status"

{
    echo "# Benchmarks"
    for kind in hardware native emulated; do
        [ -e "$dir/$kind.json" ] && jq -r -f "$here/report.jq" "$dir/$kind.json"
    done
} >"$dir/report.md"
echo "bench: written: $dir/report.md"
