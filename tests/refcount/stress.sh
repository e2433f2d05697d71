#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# heap.c with new seeds, natively and emulated in turn, for MINUTES (default: 10).
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
. tests/tap.sh

out=${OUT:-out}
heap=$out/tests/refcount/heap
seed=${STRESS_SEED:-$((RANDOM * 32768 + RANDOM))}
end=$((SECONDS + 60 * ${MINUTES:-10}))
while [ $SECONDS -lt $end ]; do
    threads=$((1 + seed % 8))
    tap_ok "natively, seed $seed, $threads threads" timeout 600 "$heap" --seed="$seed" \
        --programs=10 --threads=$threads --sections=1000 --steps=$((4 + seed % 50))
    tap_ok "emulated, seed $seed, $threads threads" timeout 600 "$out/bin/rtmgrind" --quiet \
        --seed="$seed" -- "$heap" --seed="$seed" --threads=$threads --steps=$((4 + seed % 50))
    seed=$((seed + 1000))
done
tap_done
