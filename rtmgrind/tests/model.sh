#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the options say about the processor is what transactions meet: CPUID, capacity, injected
# aborts. model.sh PART... runs only these parts.
set -u

. tests/tap.sh
rtmgrind=${RTMGRIND:-out/bin/rtmgrind}
program=out/tests/rtmgrind/probe

# probe WORDS -- OPTIONS
probe() {
    local words=()
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    shift
    "$rtmgrind" --quiet "$@" "$program" "${words[@]}" 2>&1
}

# CPUID.
part_cpuid() {
    bits() { probe cpuid -- "$@" | sed 's/^signature=[^ ]* //'; }
    tap_is "CPUID shows RTM" "$(bits)" "rtm=1 always_abort=0 tsxldtrk=0 hle=0"
    tap_is "--rtm=no hides it" "$(bits --rtm=no)" "rtm=0 always_abort=0 tsxldtrk=0 hle=0"
    tap_is "--rtm=always-abort shows both bits" "$(bits --rtm=always-abort)" \
        "rtm=1 always_abort=1 tsxldtrk=0 hle=0"
    tap_is "--tsxldtrk=yes shows TSXLDTRK" "$(bits --tsxldtrk=yes)" \
        "rtm=1 always_abort=0 tsxldtrk=1 hle=0"
    signature() { probe cpuid -- "$@" | sed 's/^signature=\([^ ]*\) .*/\1/'; }
    tap_is "the processor is Sapphire Rapids" "$(signature)" 0x806f8
    tap_is "--preset=icelake: Ice Lake-SP" "$(signature --preset=icelake)" 0x606a6
    tap_is "--preset=haswell: Haswell-EX" "$(signature --preset=haswell)" 0x306f4
    tap_is "a transaction commits" "$(probe begin --)" 0xffffffff
    tap_is "with always-abort none does, status 0" "$(probe begin -- --rtm=always-abort)" 0
}

# Write set: lines in one set, 64 sets of 64 bytes apart.
part_write() {
    one_set() { probe write-set 4096 -- "$@"; }
    tap_is "haswell: the 9th line in a set aborts with capacity" \
        "$(one_set --preset=haswell)" "9 0x8"
    tap_is "icelake: the 13th" "$(one_set --preset=icelake)" "13 0x8"
    tap_is "sapphirerapids: the 13th" "$(one_set --preset=sapphirerapids)" "13 0x8"
    tap_is "default is sapphirerapids" "$(one_set)" "13 0x8"
    tap_is "--write-ways=4: the 5th" "$(one_set --write-ways=4)" "5 0x8"
    tap_is "--write-ways=1: the 2nd" "$(one_set --write-ways=1)" "2 0x8"
    tap_is "--smt=2 halves haswell: the 5th" "$(one_set --preset=haswell --smt=2)" "5 0x8"
    tap_is "--smt=2 halves icelake: the 7th" "$(one_set --preset=icelake --smt=2)" "7 0x8"
    tap_is "128 sets: 4 KiB apart is two sets, the 17th of haswell" \
        "$(one_set --preset=haswell --write-sets=128)" "17 0x8"
    tap_is "32 sets: 256 lines in all, 64 bytes apart the 257th" \
        "$(probe write-set 64 -- --preset=haswell --write-sets=32)" "257 0x8"
    tap_is "haswell, 64 bytes apart: the 513th" \
        "$(probe write-set 64 -- --preset=haswell)" "513 0x8"
    tap_is "haswell: 8 lines in each of 64 sets commit" \
        "$(probe write-sets 64 8 -- --preset=haswell)" 0xffffffff
    tap_is "haswell: 9 lines in each of 64 sets do not" \
        "$(probe write-sets 64 9 -- --preset=haswell)" 0x8
}

# Read set.
part_read() {
    tap_is "--read-lines=100: the 101st aborts with capacity" \
        "$(probe read-set 200 -- --read-lines=100)" "101 0x8"
    tap_is "--read-lines=100 --smt=2: the 51st" \
        "$(probe read-set 200 -- --read-lines=100 --smt=2)" "51 0x8"
    tap_is "reading past L1D commits: 2000 lines" "$(probe read-set 2000 --)" none
}

# Injected aborts.
part_inject() {
    tap_is "--abort-rate=0: none" "$(probe rate 1000 0 --)" "0 0"
    tap_is "--abort-rate=10000: all" "$(probe rate 1000 0 -- --abort-rate=10000)" "1000 1000"
    half=$(probe rate 1000 0x2 -- --abort-rate=5000 --abort-status=0x2)
    read -r matching aborts <<<"$half"
    tap_ok "--abort-rate=5000: about half ($half)" test "$aborts" -gt 400 -a "$aborts" -lt 600
    tap_is "all with --abort-status" "$matching" "$aborts"
    tap_is "the same again with the same seed" \
        "$(probe rate 1000 0x2 -- --abort-rate=5000 --abort-status=0x2)" "$half"
    other=$(probe rate 1000 0x2 -- --abort-rate=5000 --abort-status=0x2 --seed=2)
    tap_ok "not with another seed ($other)" test "$other" != "$half"

    # Every instruction of a small transaction, in turn: all or nothing each time, with the status
    # asked for, until the count passes its end.
    torn=
    status=0x6
    n=0
    while [ "$status" = 0x6 ] && [ $n -lt 50 ]; do
        n=$((n + 1))
        read -r status outcome <<<"$(probe step -- --abort-at=$n --abort-status=0x6)"
        case $status:$outcome in
            0x6:undone | 0xffffffff:done) ;;
            *) torn+=" $n:$status:$outcome" ;;
        esac
    done
    tap_is "--abort-at=N for each N: all or nothing" "$torn" ""
    tap_is "it has 9 instructions" "$((n - 1))" 9

    # A transaction of 6 instructions, one of which is begun anew.
    arrive() {
        "$rtmgrind" --quiet --cost-line=2000 --quantum=16 "$@" out/tests/rtmgrind/arrive once
    }
    tap_is "an instruction that waits counts once" \
        "$(arrive --abort-at=6) $(arrive --abort-at=7)" "aborted committed"
}

# Timer.
part_timer() {
    tap_is "--timer-tick=10000: a transaction of 30000 cycles aborts with 0" \
        "$(probe spin 30000 -- --timer-tick=10000)" 0
    tap_is "without ticks it commits" "$(probe spin 30000 --)" 0xffffffff
    tap_is "--timer-tick=1000000000: it commits" \
        "$(probe spin 30000 -- --timer-tick=1000000000)" 0xffffffff
}

[ $# -gt 0 ] || set -- cpuid write read inject timer
for part; do
    "part_$part"
done
tap_done
