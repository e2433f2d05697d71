#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Abort at the N-th instruction that runs in a transaction, for every N up to the first at which
# there is none left to abort, in each kind of work that the program lists, with three reasons in
# turn: whatever it is, in enter, section, checkpoint or leave, the work is done once. The last run
# has seen the program do what its kind is about; all before it aborted.
set -u
. tests/tap.sh

export work
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# go_over KIND: prints the first N that aborts nothing; lines about what went wrong go before it.
go_over() {
    local reasons=(0x0 0x6 0x8) kind=$1 report=$work/$1.json n said injected
    for ((n = 1;; n++)); do
        rm -f "$report"
        said=$(ELISION_TRIAL=2 ELISION_LENGTH=2 timeout --kill-after=5 60 out/bin/rtmgrind --quiet \
            --json="$report" --abort-at="$n" --abort-status="${reasons[n % 3]}" -- \
            out/tests/abort-at "$kind" 2>&1) || echo "$kind, instruction $n: $said"
        injected=$(grep -o '"injected": [0-9]*' "$report" | head -n 1)
        [ "$injected" = '"injected": 1' ] || break
    done
    [ "$injected" = '"injected": 0' ] || echo "$kind, instruction $n: no report: $injected"
    [ "$said" = undisturbed ] || echo "$kind, instruction $n: the last run: $said"
    echo "$kind $n"
}
export -f go_over

kinds=$(out/tests/abort-at)
tap_ok "the program lists kinds of work" test -n "$kinds"
# shellcheck disable=SC2016 # the inner shell's
printf '%s\n' "$kinds" | xargs -P "$(nproc)" -I{} bash -c 'go_over {} >"$work/{}.said"'
for kind in $kinds; do
    last=$(sed -n "s/^$kind \([0-9]*\)$/\1/p" "$work/$kind.said")
    tap_is "$kind: abort at every instruction" "$(grep -v "^$kind [0-9]*$" "$work/$kind.said")" ""
    printf '# %s: %d instructions\n' "$kind" "$((${last:-1} - 1))"
    tap_ok "$kind: there were some" test "${last:-0}" -gt 20
done
tap_done
