#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Counted instructions of an uncontended pair of enter and leave, calls and arguments included. The
# count is exact and the same on every machine, so it may fail a test.
set -u
. tests/tap.sh

if ! output=$(out/bin/rtmgrind --quiet --cost-insn=1 --cost-begin=0 --cost-commit=0 \
    --cost-abort=0 --cost-line=0 -- out/tests/counted 2>&1); then
    tap_fail "counted under rtmgrind" "$output"
    tap_done
fi
printf '%s\n' "$output" | sed 's/^/# counted: /'
of() {
    printf '%s\n' "$output" | awk -v name="$1" '$1 == name { print $2 }'
}
tap_ok "a speculative pair takes at most 40 instructions" \
    awk -v n="$(of libelision-speculative)" 'BEGIN { exit !(n > 0 && n <= 40) }'
tap_ok "and fewer than glibc's mutex" \
    awk -v n="$(of libelision-speculative)" -v m="$(of pthread_mutex)" 'BEGIN { exit !(n < m) }'
tap_ok "so does a locked pair" \
    awk -v n="$(of libelision-locked)" -v m="$(of pthread_mutex)" 'BEGIN { exit !(n > 0 && n < m) }'
tap_done
