#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# N threads behave like N cores, and the same run twice is the same run. time.sh PART... runs only
# these parts.
set -u

. rtmgrind/tests/runs.sh

makespan() { field "$1" .totals.makespan_cycles; }
between() { test "$1" -ge "$2" -a "$1" -le "$3"; }

# conflicts_of_seeds WHAT: of runs together; one alone varies too much, by the seed and by where its
# stack lies.
conflicts_of_seeds() {
    local seed sum=0
    for seed in {1..16}; do
        run "$1" "$1" 4 3000 -- --seed="$seed" >/dev/null
        sum=$((sum + $(field "$1" .totals.aborts.conflict)))
    done
    echo "$sum"
}

# Determinism.
part_repeat() {
    tap_is "4 threads count to 2000" "$(run a pair 4 500 --)" 2000
    tap_is "and again" "$(run b pair 4 500 --)" 2000
    tap_is "twice the same report, to the cycle" \
        "$(jq -S . "$dir/b.json")" "$(jq -S . "$dir/a.json")"
    tap_ok "with conflicts in it ($(field a .totals.aborts.conflict))" \
        test "$(field a .totals.aborts.conflict)" -gt 10
    tap_is "and no real waits" "$(field a .totals.real_waits)" 0
    run early pair 4 5000 -- >/dev/null
    run gate gate 4 5000 -- >/dev/null
    local met
    met=$(($(field gate .totals.aborts.conflict) * 100 / $(field early .totals.aborts.conflict)))
    tap_ok "threads that waited meet as often ($met %)" between "$met" 20 1000
    met=$(($(conflicts_of_seeds late) * 100 / $(conflicts_of_seeds mixed)))
    tap_ok "threads that were alone for long meet as often ($met %)" between "$met" 75 130
    part_entropy
    part_epoch
    part_alarms
    part_events
    part_queue
    declare -A seen
    for seed in 1 2 3 4; do
        run "s$seed" pair 4 500 -- --seed=$seed >/dev/null
        seen[$(field "s$seed" '"\(.totals.makespan_cycles) \(.totals.aborts.conflict)"')]=$seed
    done
    tap_is "four seeds, four schedules" "${#seen[@]}" 4
    run c pair 4 500 -- --seed=3 >/dev/null
    tap_is "a seed repeats" "$(jq -S . "$dir/c.json")" "$(jq -S . "$dir/s3.json")"
}

# Threads that are created while others wait for a core: in whatever order the host starts them.
part_queue() {
    local i schedules
    schedules=$(for i in 1 2 3 4 5 6 7 8; do
        run queue mixed 4 3000 -- --cores=2 --slice=20000 >/dev/null
        field queue '"\(.totals.makespan_cycles) \(.totals.aborts.conflict)"'
    done | sort -u)
    tap_is "more threads than cores: one schedule" "$(wc -l <<<"$schedules")" 1
}

# Random numbers: a line for getrandom, one for AT_RANDOM.
part_entropy() {
    local what bytes i=0
    for what in getrandom AT_RANDOM; do
        i=$((i + 1))
        said() { run entropy entropy -- "$@" | sed -n "${i}p"; }
        bytes=$(said)
        tap_is "$what says the same again" "$(said)" "$bytes"
        tap_ok "but not with another seed ($bytes)" test "$(said --seed=2)" != "$bytes"
        tap_ok "and not with --entropy=host" test "$(said --entropy=host)" != "$bytes"
    done
}

# The time of day.
part_epoch() {
    local now
    tap_is "the time of day is the same at every start" "$(run date date --)" 1767225600
    tap_is "or what --epoch says" "$(run date date -- --epoch=1000000000)" 1000000000
    now=$(date +%s)
    tap_ok "or the host's" between "$(run date date -- --epoch=host)" "$now" $((now + 100))
}

# Signals of a timer, in and out of transactions.
part_alarms() {
    tap_is "4 threads count to 8000 while a timer interrupts them" \
        "$(run a alarms 4 2000 --)" 8000
    tap_is "and again" "$(run b alarms 4 2000 --)" 8000
    tap_is "twice the same report with signals, to the cycle" \
        "$(jq -S . "$dir/b.json")" "$(jq -S . "$dir/a.json")"
    tap_ok "which abort transactions ($(field a .totals.aborts.signal))" \
        test "$(field a .totals.aborts.signal)" -gt 5
    tap_is "and are no real waits" "$(field a .totals.real_waits)" 0
}

# Waiting for a timer and for other threads.
part_events() {
    local woken
    woken=$(run a events 300 --)
    tap_ok "an event loop wakes for a timer and other threads ($woken)" between "$woken" 310 1000
    tap_is "as often again" "$(run b events 300 --)" "$woken"
    tap_is "twice the same report with descriptors, to the cycle" \
        "$(jq -S . "$dir/b.json")" "$(jq -S . "$dir/a.json")"
    tap_is "and no real waits for them" "$(field a .totals.real_waits)" 0
}

# Cores.
part_cores() {
    run base private 1 1 -- >/dev/null
    run one private 1 20000 -- >/dev/null
    run four private 4 20000 -- >/dev/null
    run many private 16 20000 -- >/dev/null
    run core1 private 4 20000 -- --cores=1 >/dev/null
    run core2 private 4 20000 -- --cores=2 >/dev/null
    run core3 private 16 5000 -- --cores=3 --slice=50000 >/dev/null
    run often mixed 4 5000 -- --cores=2 --slice=20000 >/dev/null
    work=$(($(makespan one) - $(makespan base)))

    # ratio NAME: its work beyond start-up in hundredths of one thread's
    ratio() { echo $((($(makespan "$1") - $(makespan base)) * 100 / work)); }
    tap_ok "4 threads take the time of one ($(ratio four) %)" between "$(ratio four)" 95 115
    tap_ok "so do 16 ($(ratio many) %)" between "$(ratio many)" 95 140
    tap_ok "on one core 4 threads take 4 times as long ($(ratio core1) %)" \
        between "$(ratio core1)" 380 460
    tap_ok "on two cores twice ($(ratio core2) %)" between "$(ratio core2)" 190 240
    tap_ok "16 quarter-threads on 3 cores take 4/3 ($(ratio core3) %)" \
        between "$(ratio core3)" 130 180
    local switched
    switched=$(field often .totals.aborts.timer)
    tap_ok "a core's threads are switched inside transactions ($switched)" test "$switched" -gt 0
    tap_is "no conflicts between private lines" "$(field four .totals.aborts.conflict)" 0
    tap_is "only the beginning and end of threads, which change mappings, disturb them" \
        "$(field four '.totals | .aborts.total - .aborts.tlb')" 0
}

# The cost model.
part_costs() {
    run one private 1 20000 -- >/dev/null
    run dear private 1 20000 -- --cost-begin=140 >/dev/null
    tap_is "--cost-begin=140 adds 100 cycles to each of 20000 begins" \
        "$(($(makespan dear) - $(makespan one)))" 2000000
    run dear private 1 20000 -- --cost-commit=130 >/dev/null
    tap_is "--cost-commit=130 adds 100 cycles to each commit" \
        "$(($(makespan dear) - $(makespan one)))" 2000000
    run slow private 1 20000 -- --cost-insn=2 >/dev/null
    insns=$(($(makespan one) - 20000 * 70)) # the rest is begins and commits, 40 and 30 cycles
    tap_ok "--cost-insn=2 makes instructions twice as long" \
        between $((($(makespan slow) - $(makespan one)) * 100 / insns)) 90 101
}

# dearer OPTION BASE N WORDS...: hundredths of a cycle that each of N events costs more when the
# option's cost is 100 cycles above BASE.
dearer() {
    local option=$1 base=$2 n=$3
    shift 3
    run cheap "$@" "$n" -- --coherence=yes --quantum=16 "--cost-$option=$base" >/dev/null
    run dear "$@" "$n" -- --coherence=yes --quantum=16 "--cost-$option=$((base + 100))" >/dev/null
    echo $((($(makespan dear) - $(makespan cheap)) * 100 / n))
}

part_more_costs() {
    tap_is "--cost-abort: 100 cycles more for each abort" "$(dearer abort 150 5000 aborts)" 10000
    tap_is "--cost-pause: for each PAUSE" "$(dearer pause 140 5000 pauses)" 10000
    local got
    got=$(dearer syscall 300 5000 calls)
    tap_ok "--cost-syscall: for each call, and those at start and exit ($got)" \
        between "$got" 10000 10500
    got=$(dearer wake 6000 1000 wakes)
    tap_ok "--cost-wake: for each thread woken, two in a round ($got)" between "$got" 19000 21000
    got=$(dearer line 100 1000 moves)
    tap_ok "--cost-line: for each move of a line, two in a round ($got)" \
        between "$got" 19000 21000
}

# Timer ticks and slices.
part_ticks() {
    run quiet private 4 20000 -- >/dev/null
    run ticks mixed 4 20000 -- --timer-tick=5000 >/dev/null
    local aborts
    aborts=$(field ticks .totals.aborts.timer)
    tap_is "no ticks unless asked for" "$(field quiet .totals.aborts.timer)" 0
    # 4 cores tick at every 5000 cycles; a fifth of a thread's cycles are in its transactions,
    # begins and commits aside.
    local most=$((4 * $(makespan ticks) / 5000))
    tap_ok "--timer-tick=5000 aborts on 4 threads ($aborts of $most ticks)" \
        between "$aborts" $((most / 8)) $((most / 3))
    # One thread has nobody to hand over to, which is when a tick would be seen anyway.
    run one mixed 1 20000 -- --timer-tick=5000 >/dev/null
    most=$(($(makespan one) / 5000)) aborts=$(field one .totals.aborts.timer)
    tap_ok "and on one thread ($aborts of $most ticks)" \
        between "$aborts" $((most / 16)) $((most / 4))
    tap_is "and each transaction commits in the end" \
        "$(run ticks mixed 4 20000 -- --timer-tick=5000)" 80000
    # Alone on its core a thread is not switched, however short its slice.
    run alone private 1 20000 -- --slice=1000 >/dev/null
    tap_is "a slice that ends with nobody waiting aborts nothing" \
        "$(field alone .totals.aborts.timer)" 0
    run long private 2 20000 -- --cores=1 --slice=1000000 >/dev/null
    run short private 2 20000 -- --cores=1 --slice=10000 >/dev/null
    tap_ok "shorter slices switch more often" test \
        "$(field short .totals.aborts.timer)" -gt "$(field long .totals.aborts.timer)"
}

# Real waits are reported.
part_waits() {
    tap_is "a read from another process ends" "$(run pipe pipe --)" read
    tap_ok "and is counted ($(field pipe .totals.real_waits))" \
        test "$(field pipe .totals.real_waits)" -gt 0
    tap_has "and reported as not repeatable" "$("$rtmgrind" "$program" pipe 2>&1)" "may not repeat"
}

[ $# -gt 0 ] || set -- repeat cores costs more_costs ticks waits
for part; do
    "part_$part"
done
tap_done
