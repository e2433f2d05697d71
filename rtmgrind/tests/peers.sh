#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Other people's transactional locks, unmodified: they find RTM, commit transactions, and keep the
# invariant of peer.h. A peer that is not installed is skipped by name.
set -u

. tests/tap.sh
rtmgrind=${RTMGRIND:-out/bin/rtmgrind}
bin=out/tests/rtmgrind
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# glibc's tunable is harmless to the others: their own locks are not glibc's.
export GLIBC_TUNABLES=glibc.elision.enable=1

peer() {
    local name=$1 title=$2 seed output total
    if [ ! -x "$bin/peer_$name" ]; then
        tap_skip "$title" "not installed here (make test installs it on Debian)"
        return
    fi
    if [ "$name" = glibc ] && ! ld.so --list-tunables 2>/dev/null | grep -q elision.enable; then
        tap_skip "$title" "this glibc has no elision tunable (2.43 removed it)"
        return
    fi
    for seed in 1 2 3; do
        output=$("$rtmgrind" --quiet --seed=$seed --json="$dir/$name.json" "$bin/peer_$name" 2>&1)
        tap_is "$title keeps its invariant (seed $seed)" "$output" "0 wrong looks, sum 0"
    done
    total=$(jq -r '.totals | "\(.commits) commits, \(.aborts.conflict) conflicts"' \
        "$dir/$name.json")
    tap_ok "$title commits more than half of 8000 sections ($total)" \
        jq -e '.totals.commits > 4000' "$dir/$name.json"
    tap_ok "$title meets conflicts" jq -e '.totals.aborts.conflict > 0' "$dir/$name.json"
}

peer glibc "glibc's elided mutex"
peer libitm "GCC's -fgnu-tm on libitm"
peer ck "Concurrency Kit's ck_elide"
peer tbb "oneTBB's speculative_spin_mutex"

# A lock that does not find RTM takes itself, and nothing else changes.
if [ -x "$bin/peer_tbb" ]; then
    output=$("$rtmgrind" --quiet --rtm=no --json="$dir/no.json" "$bin/peer_tbb" 2>&1)
    tap_is "without RTM in CPUID oneTBB keeps its invariant" "$output" "0 wrong looks, sum 0"
    tap_is "and begins no transaction" "$(jq .totals.starts "$dir/no.json")" 0
fi
tap_done
