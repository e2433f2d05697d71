#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Nothing more is left over after many sections of an elided GIL than under the plain GIL, whose
# interpreter grows a little by itself: leaks.sh [TURNS [PYTHON]] (evidence: emulated, beside
# native). Each check of the eval breaker ends a section, by a policy that does not lengthen them.
# An interpreter that counts all references (`make python-debug`) is asked for their sum, too.
set -u -o pipefail
. tests/tap.sh

turns=${1-2}
python=${2-out/python/bin/python3}
# What may come and go: free lists, the collector's own; the emulator's own memory.
declare -A room=([total]=600 [blocks]=600 [resident]=$((4 << 20)))
program=tests/interp/leaks.py
unset ELISION_BACKEND
export PYTHON_GIL=1 PYTHONHASHSEED=0

# grown NAME TEXT: the number after a name
grown() {
    sed -n "s/.*\\b$1 \\(-\\{0,1\\}[0-9]*\\).*/\\1/p" <<<"$2"
}

plain=$(PYTHON_ELISION=0 "$python" "$program" 4 "$turns" 2>&1)
elided=$(PYTHON_ELISION=1 ELISION_POLICY=static-6 ELISION_LENGTH=1 timeout --kill-after=10 6000 \
    out/bin/rtmgrind --quiet "$python" "$program" 4 "$turns" 2>&1)
echo "# plain GIL: $plain"
echo "# elided:    $elided"
tap_is "no count of a shared object changes, $(grown sections "$elided") sections" \
    "$(grown counts "$elided")" 0
if "$python" -c 'import sys; sys.gettotalrefcount()' 2>/dev/null; then
    kinds="total blocks resident"
else
    kinds="blocks resident"
fi
for what in $kinds; do
    tap_ok "$what: at most ${room[$what]} above the plain GIL's" \
        test "$(grown $what "$elided")" -le $(($(grown $what "$plain") + room[$what]))
done
tap_done
