#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Other people's transactional locks as benchmarks: each commits, or is skipped by name.
set -u
. tests/tap.sh

bench=out/bin/elision-bench
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# peers FILE: what the peers do with a workload that suits transactions, under the emulator.
peers() {
    out/bin/rtmgrind --quiet -- $bench '--benchmark_filter=^lock/disjoint/.*threads:4$' \
        --benchmark_min_time=0.0001 --benchmark_format=json >"$1" 2>"$dir/err"
}

tap_ok "the peers run" peers "$dir/1"
GLIBC_TUNABLES=glibc.elision.enable=1 tap_ok "and glibc's, with its tunable" peers "$dir/2"

# peer FILE NAME
peer() {
    local rate why
    rate=$(jq -r --arg name "lock/disjoint/$2/real_time/threads:4" \
        '.benchmarks[] | select(.name == $name) | .speculative' "$1")
    why=$(jq -r '.context.skipped // ""' "$1" | tr ';' '\n' | sed -n "s/^ *$2: //p")
    if [ -n "$why" ]; then
        tap_skip "$2 runs most sections by transaction" "$why"
    else
        tap_ok "$2 runs most sections by transaction ($rate)" jq -en "${rate:-0} > 0.5"
    fi
}
for name in elided tbb-speculative libitm ck-elide; do
    peer "$dir/1" $name
done
peer "$dir/2" glibc-elided
for name in pthread std-mutex plain; do
    tap_is "$name is there and speculates nothing" "$(jq -c --arg name \
        "lock/disjoint/$name/real_time/threads:4" \
        '.benchmarks[] | select(.name == $name) | [.sections > 0, .speculative]' "$dir/1")" \
        "[true,null]"
done
tap_has "without the tunable glibc's is skipped by name" "$(jq -r .context.skipped "$dir/1")" \
    "glibc-elided: needs GLIBC_TUNABLES"
tap_is "with it std::mutex is no plain mutex and is skipped" \
    "$(jq -r .context.skipped "$dir/2" | tr ';' '\n' | sed -n 's/^ *std-mutex: //p')" \
    "GLIBC_TUNABLES has it elided"
tap_has "natively those that need transactions are skipped by name, or run" \
    "$($bench --benchmark_filter='^lock/disjoint/(ck|pthread)' --benchmark_min_time=0.0001 2>&1)" \
    "ck-elide"
tap_done
