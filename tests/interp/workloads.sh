#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Kinds of Python work with the GIL elided on four threads (evidence: emulated): results are
# right, and at least nine in ten of transactions and sections that hold the lock commit: the lock
# is what threads take that keep conflicting. It guards against a collapse; the figures themselves
# are in docs/refcount.md. workloads.sh [PYTHON [KIND...]]
. tests/interp/emulated.sh

program=tests/interp/workloads.py

if [ $# -gt 1 ]; then
    printf '%s\n' "${@:2}" >"$work/list"
else
    "$python" "$program" --list >"$work/list"
fi
PYTHON_ELISION=1 xargs -P 2 -I{} sh -c "timeout -k 5 300 out/bin/rtmgrind $python $program \
    {} 4 1500 >$work/{}.json 2>$work/{}.report" <"$work/list"

# nine_in_ten NAME COMMITS SECTIONS: or else the emulator's report, which says what conflicts.
# shellcheck disable=SC2317,SC2329  # called through tap_ok
nine_in_ten() {
    [ "$(($2 * 10))" -ge "$(($3 * 9))" ] && return
    cat "$work/$1.json" "$work/$1.report"
    return 1
}

while read -r name; do
    result=$(cat "$work/$name.json")
    tap_has "$name: results are right" "$result" '"right": true'
    read -r starts commits locked < <(jq -r '"\(.starts) \(.commits) \(.locked)"' <<<"$result")
    tap_ok "$name: ${commits:-no} of ${starts:-no} transactions commit, ${locked:-no} by the lock" \
        nine_in_ten "$name" "${commits:-0}" "$((${starts:-1} + ${locked:-1}))"
done <"$work/list"

# A collection stops all threads, one at work among them, and should take no longer than by the
# plain GIL, also when it is of garbage that another thread made.
collection() {
    emulated "$1" -c '
import gc, threading, time

def garbage(n):
    text = [str(n)]
    def again(depth):
        return again(depth - 1) if depth else text
    return again

def collect():
    data.sort() # long, so it has the GIL and the other thread waits for it
    begin = time.perf_counter()
    gc.collect()
    print(int((time.perf_counter() - begin) * 1e6))

data = [str(n) for n in range(5000)]
gc.disable()
for n in range(2000):
    garbage(n)
thread = threading.Thread(target=collect)
thread.start()
while thread.is_alive():
    pass'
}
plain=$(collection 0)
elided=$(collection 1)
tap_ok "a collection takes ${elided:-no} us beside the plain GIL's ${plain:-none}" \
    test "$((${elided:-9999999} * 4))" -lt "$((${plain:-0} * 5))"
tap_done
