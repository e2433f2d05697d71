#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# docs/python.md: its programs run, and show what the text says they show.
. tests/interp/emulated.sh

# The nth piece of Python in the document.
piece() {
    awk -v wanted="$1" '
        /^```python$/ { inside = ++n == wanted; next }
        /^```$/ { inside = 0; next }
        inside' docs/python.md
}
piece 1 >"$work/modules.py"
piece 2 >"$work/metrics.py"
piece 3 >"$work/squares.py"
tap_is "the document has three programs" "$(piece 4)$(grep -c '^```python$' docs/python.md)" 3

tap_is "nothing needs the GIL in a bare interpreter" "$("$python" "$work/modules.py" 2>&1)" ""
metrics=$(PYTHON_ELISION=1 ELISION_BACKEND=none "$python" "$work/metrics.py" 2>&1)
tap_has "metrics: sections that held the lock" "$metrics" $'\nelision_locked_total '
tap_has "metrics: aborts by cause" "$metrics" $'\nelision_aborts_total{cause="conflict"} 0'
tap_is "metrics: every line is a type or a sample" \
    "$(printf '%s\n' "$metrics" | grep -vE \
        -e '^# TYPE elision_[a-z]+_total counter$' \
        -e '^elision_[a-z]+_total(\{[a-z]+="[a-z-]+"\})? [0-9.e-]+$')" ""

# squares WAY ELISION: virtual milliseconds; what the emulator counted goes to a file.
squares() {
    timeout -k 5 200 out/bin/rtmgrind --quiet --json="$work/$1.$2" "$python" -X elision="$2" \
        "$work/squares.py" "$1" | sed 's/ ms$//'
}
plain=$(squares gathered 0)
elided=$(squares gathered 1)
squares shared 1 >/dev/null
tap_ok "gathered: $elided ms elided, $plain by the lock" \
    awk -v a="${elided:-0}" -v b="${plain:-0}" 'BEGIN { exit !(a > 0 && a < 0.6 * b) }'
tap_ok "shared: most conflicts are in line 10" jq -e '
    [.conflicts[] | {count, here: (.victim_label == "shared (squares.py:10)")}]
    | (map(select(.here).count) | add) * 2 > (map(.count) | add)' "$work/shared.1"
tap_done
