#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The runner must notice every way in which a test program can be wrong without a `not ok`.
set -u
. tests/tap.sh

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

sample() {
    printf '#!/bin/sh\n%s\n' "$2" >"$dir/$1"
    chmod +x "$dir/$1"
}

# runs NAME WANTED-STATUS WANTED-LAST-LINE ARGUMENT...
runs() {
    local name=$1 status=$2 last=$3
    shift 3
    output=$(tests/run.sh --log "$dir/log" "$@" 2>&1)
    tap_is "$name: status and last line" "$? $(tail -n 1 <<<"$output")" "$status $last"
}

sample good 'echo 1..2; echo ok 1 - a; echo ok 2 - b'
sample late_plan 'echo ok 1 - a; echo 1..1'
sample one_skip 'echo 1..2; echo ok 1 - a; echo "ok 2 - b # SKIP no such thing here"'
sample skip_all 'echo "1..0 # SKIP no such machine"'
sample skip_mute 'echo 1..0'
sample todo 'echo 1..2; echo ok 1; echo "not ok 2 - later # todo known"'
sample not_ok 'echo 1..2; echo ok 1; echo not ok 2 - bad; exit 1'
sample bad_exit 'echo 1..1; echo ok 1; exit 3'
sample crash 'echo 1..1; echo ok 1; kill -SEGV $$'
sample no_plan 'echo ok 1'
sample short_plan 'echo 1..3; echo ok 1'
sample silent 'exit 0'
sample hang 'echo 1..1; echo ok 1; exec sleep 1000'
sample reads_stdin 'echo 1..1; if read -r line; then echo not ok 1; else echo ok 1; fi'

runs "good programs" 0 "3 passed, 0 failed" "$dir/good" "$dir/late_plan"
runs "a skip counts on neither side" 0 "1 passed, 0 failed" "$dir/one_skip"
tap_has "a skip is shown with its reason" "$output" "SKIP no such thing here"
runs "a whole file skipped" 0 "2 passed, 0 failed" "$dir/skip_all" "$dir/good"
tap_has "its reason is shown" "$output" "SKIP no such machine"
runs "known failures do not count" 0 "1 passed, 0 failed" "$dir/todo"
runs "a failed point" 1 "1 passed, 1 failed" "$dir/not_ok"
tap_has "is named" "$output" "not ok 2 - bad"
runs "good exit status only" 1 "1 passed, 1 failed" "$dir/bad_exit"
runs "a crash" 1 "1 passed, 1 failed" "$dir/crash"
runs "no plan" 1 "1 passed, 1 failed" "$dir/no_plan"
runs "fewer points than planned" 1 "1 passed, 1 failed" "$dir/short_plan"
runs "no output at all" 1 "0 passed, 1 failed" "$dir/silent"
runs "a skip without a reason" 1 "0 passed, 1 failed" "$dir/skip_mute"
runs "everything skipped" 1 "0 passed, 1 failed" "$dir/skip_all"
runs "a program that is not there" 1 "2 passed, 1 failed" "$dir/good" "$dir/missing"
runs "a program that hangs" 1 "1 passed, 1 failed" --timeout 1 "$dir/hang"
runs "standard input is empty" 0 "1 passed, 0 failed" "$dir/reads_stdin"
runs "later programs count too" 1 "3 passed, 1 failed" "$dir/good" -- "$dir/not_ok"
runs "several at once" 1 "5 passed, 1 failed" --jobs 4 "$dir/good" "$dir/not_ok" "$dir/late_plan" \
    "$dir/one_skip"
runs "nothing to run" 1 "0 passed, 1 failed"
tests/run.sh --jobs none x 2>/dev/null
tap_is "a bad option" "$?" 2
tap_done
