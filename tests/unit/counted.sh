#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Counted instructions of an uncontended pair of enter and leave, calls and arguments included, in
# one table with glibc's elided mutex and oneTBB's. The count is exact and the same on every machine
# with the same libraries, so it may fail a test.
set -u
. tests/tap.sh

counting=(out/bin/rtmgrind --quiet --cost-insn=1 --cost-begin=0 --cost-commit=0 --cost-abort=0
    --cost-line=0 --)
elided=GLIBC_TUNABLES=glibc.elision.enable=1

if ! table=$("${counting[@]}" out/tests/counted 2>&1); then
    tap_fail "counted under rtmgrind" "$table"
    tap_done
fi
# The second run adds glibc's mutex when it is told to elide.
table+=$'\n'$(env "$elided" "${counting[@]}" out/tests/counted 2>&1 |
    grep '^pthread_mutex .* speculative$')
[ ! -x out/tests/counted-tbb ] || table+=$'\n'$("${counting[@]}" out/tests/counted-tbb 2>&1)
echo "# counted: instructions of an uncontended enter and leave"
printf '%s\n' "$table" | awk 'NF == 3 { printf "# counted: %-24s %-12s %6.2f\n", $1, $3, $2 }'

of() {
    printf '%s\n' "$table" |
        awk -v name="$1" -v path="$2" '$1 == name && $3 == path { print $2; exit }'
}
ours=$(of libelision speculative)
fewer_than() {
    awk -v n="$1" -v m="$2" 'BEGIN { exit !(n > 0 && n < m) }'
}
tap_ok "a speculative pair takes at most 40 instructions" fewer_than "$ours" 40.005
glibc=$(of pthread_mutex speculative)
if [ -n "$glibc" ]; then
    tap_ok "and fewer than glibc's elided mutex" fewer_than "$ours" "$glibc"
else
    tap_skip "and fewer than glibc's elided mutex" "this glibc elides nothing (2.43 removed it)"
fi
tbb=$(of speculative_spin_mutex speculative)
if [ -n "$tbb" ]; then
    tap_ok "and than oneTBB's speculative_spin_mutex" fewer_than "$ours" "$tbb"
else
    tap_skip "and than oneTBB's speculative_spin_mutex" "oneTBB is not installed (libtbb-dev)"
fi
tap_ok "a locked pair takes fewer than glibc's" \
    fewer_than "$(of libelision locked)" "$(of pthread_mutex locked)"
tap_done
