#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# docs/embedding.md: its pieces are in docs/embedding.c word for word, and that program does what
# the document says. Without the lock it must lose updates, or its check proves nothing.
set -u
. tests/tap.sh

program=out/tests/embedding
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints how many pieces there are and how many of them the program has.
pieces() {
    awk '
        FNR == NR { program = program $0 "\n"; next }
        /^```c$/ { inside = 1; piece = ""; next }
        /^```$/ { inside = 0; ++all; found += index(program, piece) > 0; next }
        inside { piece = piece $0 "\n" }
        END { print all, found }' docs/embedding.c docs/embedding.md
}
tap_is "every piece of C in the document is the program's" "$(pieces)" "5 5"

# run NAME WANTED-STATUS COMMAND...: leaves the output in $output
run() {
    local name=$1 wanted=$2
    shift 2
    output=$("$@" 2>&1)
    tap_is "$name: status $wanted" $? "$wanted"
}
number() { printf '%s\n' "$output" | sed -nE "s/.*[^0-9.]([0-9.]+) $1.*/\1/p"; }

run "native, by the lock" 0 env ELISION_BACKEND=none "$program" 4
tap_has "it says so" "$output" "not elided"
run "emulated, by the lock" 0 env ELISION=off out/bin/rtmgrind --quiet "$program" 4
plain=$(number ms)
run "emulated, elided" 0 out/bin/rtmgrind --json="$work/report" "$program" 4
tap_has "it says so" "$output" "ms, elided"
elided=$(number ms)
tap_ok "elided in $elided ms, by the lock in $plain" \
    awk -v a="$elided" -v b="$plain" 'BEGIN { exit !(a > 0 && a < 0.6 * b) }'
tap_ok "the report's conflicts are the tally's, under the label" jq -e '
    [.conflicts[] | select(.data | test("^tally_"))] |
    length > 0 and all(.victim_label == "interpret")' "$work/report"

sed '/elision_enter(/d; /elision_leave(/d; s/elision_is_speculative()/0/' docs/embedding.c \
    >"$work/unlocked.c"
tap_ok "a variant without the lock compiles" gcc -std=c11 -O2 -I. -pthread \
    "$work/unlocked.c" out/lib/libelision.a -o "$work/unlocked"
run "it loses updates" 1 out/bin/rtmgrind --quiet "$work/unlocked" 8 100000

run "a bad count" 2 "$program" none
tap_is "is one line" "$output" "embedding: THREADS is 1 to 64, not 'none'"
tap_done
