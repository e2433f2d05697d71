#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The long torture: `make stress MINUTES=n` (default 10). Natively with twice as many threads as
# CPUs, signals, forks and moves, and under rtmgrind in turn; a fresh seed each time. Prints
# acquisitions and the bound: N clean trials mean a failure rate below 3/N at 95 % confidence.
set -u
. tests/tap.sh

minutes=${MINUTES:-10}
case $minutes in
'' | *[!0-9]* | 0)
    echo "stress.sh: MINUTES=$minutes: expected a number of minutes, at least 1" >&2
    exit 2
    ;;
esac
seed=${SEED:-$(date +%s)}
threads=$((2 * $(nproc)))
end=$((SECONDS + minutes * 60))
runs=0
acquisitions=0
failed=0

# one COMMAND...: run, count, keep what failed.
one() {
    local output status count
    output=$(timeout --kill-after=5 600 "$@" 2>&1)
    status=$?
    runs=$((runs + 1))
    count=$(printf '%s\n' "$output" | sed -n 's/.* \([0-9]*\) acquisitions.*/\1/p')
    acquisitions=$((acquisitions + ${count:-0}))
    if [ "$status" != 0 ]; then
        failed=$((failed + 1))
        tap_fail "seed $seed: status $status: $*" "$output"
    fi
}

while [ "$SECONDS" -lt "$end" ]; do
    seed=$((seed + 1))
    one out/tests/stress --lock=elision --threads=$threads --seconds=10 --seed=$seed \
        --signals --forks --moves
    one out/tests/stress-steps --lock=elision --threads=$threads --ops=50000 --seed=$seed
    one out/bin/rtmgrind --quiet --seed=$seed -- \
        out/tests/stress --lock=elision --threads=4 --ops=4000 --seed=$seed
    one out/bin/rtmgrind --quiet --seed=$seed -- \
        out/tests/stress-steps --lock=elision --threads=8 --ops=1000 --seed=$seed --forks
    one out/tests/nested $seed 50000
    one out/bin/rtmgrind --quiet --seed=$seed -- out/tests/nested $seed 3000
done
printf '# %d runs, last seed %d, %d acquisitions, %d failed runs\n' "$runs" "$seed" \
    "$acquisitions" "$failed"
if [ "$failed" = 0 ] && [ "$acquisitions" -gt 0 ]; then
    printf '# failure rate below %s per acquisition at 95 %% confidence (3/N)\n' \
        "$(awk -v n="$acquisitions" 'BEGIN { printf "%.1e", 3 / n }')"
fi
tap_is "failed runs" "$failed" 0
tap_done
