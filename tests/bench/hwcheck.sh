#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The check for hardware, with the emulator as the machine: one without RTM, one as the emulator is,
# and one that behaves differently, which must be seen.
set -u
. tests/tap.sh

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# check NAME OPTION...: on such a machine, in short; its lines are in $dir/NAME.log.
check() {
    local name=$1
    shift
    HWCHECK_MACHINE="out/bin/rtmgrind --quiet $* --" ROUNDS=${rounds-1} MIN_TIME=0.0001 \
        LITMUS="${litmus-status}" \
        FILTER='^(cost/(begin|abort|pair)|capacity/write-one-set/warm)' \
        bench/hwcheck.sh out "$dir/$name" >"$dir/$name.log" 2>&1
}

check absent --rtm=no
tap_is "without RTM: status" $? 3
tap_is "one line that says so" "$(sed 's/: [^:]*; nothing/: ...; nothing/' "$dir/absent.log")" \
    "hwcheck: no RTM on this machine: ...; nothing was measured"
tap_ok "and nothing is written" test ! -e "$dir/absent"
check refuses --rtm=always-abort
tap_is "RTM that always aborts is no RTM" $? 3
tap_is "make ends well without RTM, where there is none" \
    "$(out/bin/elision probe >/dev/null 2>&1 || make -s SETUP=0 hwcheck >/dev/null 2>&1; echo $?)" 0

litmus="status syscall" check same
tap_is "a machine that is as the emulator: status" $? 0
tap_ok "litmus questions were asked, and all agree" \
    jq -e '.litmus | length > 40 and all(.agrees and .rounds == 1)' "$dir/same"
tap_is "its evidence is said" "$(jq -r .evidence "$dir/same")" emulated
tap_ok "costs were measured" jq -e '.calibration | .cycles_begin_commit > 10 and
    .cycles_begin_abort > .cycles_begin_commit' "$dir/same"
tap_is "ways were found" "$(jq .calibration.write_ways "$dir/same")" 12
tap_ok "what machine it is, is there" jq -e '.facts | .model and .kernel and .microcode and .taa
    and .tsx and .libc' "$dir/same"
tap_ok "the benchmarks are in it" jq -e '.bench.benchmarks | length > 4' "$dir/same"

tap_is "and nothing that names the machine" "$(grep -cE "host_name|$PWD" "$dir/same")" 0

check ways --write-ways=6
tap_is "a smaller cache is found" "$(jq .calibration.write_ways "$dir/ways")" 6
rounds=3 check other --abort-rate=6000
tap_is "a machine that aborts more: status" $? 1
tap_ok "the differences are in the file" jq -e '.litmus | any(.agrees | not)' "$dir/other"
tap_has "and are named" "$(cat "$dir/other.log")" "hwcheck: differs: status/"
tap_has "so is a benchmark that measures nothing, where so much aborts" "$(cat "$dir/other.log")" \
    "failed: no "
tap_ok "which is in the file, and in no calibration" jq -e \
    '(.bench.benchmarks | any(.error_occurred)) and (.calibration.cycles_begin_abort > 0)' \
    "$dir/other"

bench/hwcheck.sh "$dir/empty" "$dir/none" >"$dir/log" 2>&1
tap_is "a folder without the programs: status" $? 2
tap_has "and what to do" "$(cat "$dir/log")" "run make hwcheck"
ROUNDS=none bench/hwcheck.sh out "$dir/none" >"$dir/log" 2>&1
tap_is "no number of rounds: status" $? 2
tap_done
