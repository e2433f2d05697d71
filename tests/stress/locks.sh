#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Every lock of tests/locks under torture, natively and under rtmgrind, and nested sections: the
# good ones must hold, the known-bad ones must be caught. The number caught is printed; one that
# gets away is a failure.
set -u
. tests/tap.sh

plain=out/tests/stress
steps=out/tests/stress-steps
emulator=(out/bin/rtmgrind --quiet --)
seed=${SEED:-1}
# Seconds after which a lock that lost a wake-up is given up; good ones need a hundredth of it.
hang_native=5
hang_emulated=60
caught=0
bad=0

# torture SECONDS COMMAND...: exit status 0 held; else caught, as wrong, crashed or hung.
torture() {
    local limit=$1 status
    shift
    output=$(timeout --kill-after=2 "$limit" "$@" 2>&1)
    status=$?
    printf '%s\n' "$output" | sed -n 's/^# /# /p'
    case $status in
    0) verdict=held ;;
    1) verdict=$(printf '%s\n' "$output" | sed -n 's/^stress: //p' | head -n 1) ;;
    124 | 137) verdict="hung" ;;
    2) verdict="usage" ;;
    *) verdict="crashed" ;;
    esac
    return "$status"
}

must_hold() {
    local name=$1
    shift
    if torture 300 "$@"; then
        tap_pass "$name"
    else
        tap_fail "$name" "$verdict: $output"
    fi
}

must_be_caught() {
    local name=$1 limit=$2
    shift 2
    bad=$((bad + 1))
    if torture "$limit" "$@" || [ "$verdict" = usage ]; then
        tap_fail "$name" "not caught: $verdict"
    else
        caught=$((caught + 1))
        tap_pass "$name: $verdict"
    fi
}

while read -r name kind needs; do
    if [ "$kind" = good ]; then
        must_hold "$name holds, native" $plain --lock="$name" --ops=20000 --seed="$seed"
        must_hold "$name holds, native, yielding" $steps --lock="$name" --ops=5000 --seed="$seed"
        must_hold "$name holds, native, signals, forks, moves" \
            $plain --lock="$name" --ops=5000 --seed="$seed" --signals --forks --moves
        must_hold "$name holds, emulated" \
            "${emulator[@]}" $plain --lock="$name" --ops=2000 --seed="$seed"
        must_hold "$name holds, emulated, 8 threads, yielding" \
            "${emulator[@]}" $steps --lock="$name" --threads=8 --ops=500 --seed="$seed"
    elif [ "$needs" = rtm ]; then
        must_be_caught "$name is caught, emulated" $hang_emulated \
            "${emulator[@]}" $plain --lock="$name" --ops=2000 --seed="$seed"
    else
        must_be_caught "$name is caught, native" $hang_native \
            $steps --lock="$name" --ops=20000 --seed="$seed"
    fi
done < <($plain --list)

# One thread takes the same steps each time.
yields() { $steps --lock=elision --threads=1 --ops=5000 --seed="$1" | grep ' yields$'; }
first=$(yields "$seed")
tap_has "yields are counted" "$first" yields
tap_is "they repeat by seed and thread" "$(yields "$seed")" "$first"
tap_ok "and differ by seed" test "$(yields $((seed + 1)))" != "$first"

nested=out/tests/nested
must_hold "nested sections, native" $nested "$seed" 20000
must_hold "nested sections, emulated" "${emulator[@]}" $nested "$seed" 1500
must_be_caught "nested sections, one lock not taken, are caught" $hang_emulated \
    "${emulator[@]}" $nested "$seed" 1500 unlocked

printf '# seed %s; known-bad locks caught: %d of %d\n' "$seed" "$caught" "$bad"
tap_is "every known-bad lock is caught" "$caught" "$bad"
tap_done
