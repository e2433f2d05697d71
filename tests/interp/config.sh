#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# PYTHON_ELISION and -X elision: read as PyConfig reads its settings, refused as PYTHON_GIL is.
set -u -o pipefail
. tests/tap.sh

python=out/python/bin/python3
unset PYTHON_GIL PYTHON_ELISION ELISION_BACKEND
ask='import elision; print(elision.enabled())'

enabled() {
    local name=$1 wanted=$2
    shift 2
    tap_is "$name" "$(env "$@" -c "$ask" 2>&1)" "$wanted"
}

refused() {
    local name=$1 output status
    shift
    output=$(env "$@" -c "$ask" 2>&1)
    status=$?
    tap_has "$name: says what is allowed" "$output" \
        'PYTHON_ELISION / -X elision must be "0" or "1"'
    tap_is "$name: exit status 1" "$status" 1
}

enabled "off by default" False "$python"
enabled "PYTHON_ELISION=1" True PYTHON_ELISION=1 "$python"
enabled "PYTHON_ELISION=0" False PYTHON_ELISION=0 "$python"
enabled "an empty PYTHON_ELISION is not set" False PYTHON_ELISION= "$python"
enabled "-X elision=1" True "$python" -X elision=1
enabled "-X wins over the environment" False PYTHON_ELISION=1 "$python" -X elision=0
enabled "-X wins over a malformed environment" True PYTHON_ELISION=yes "$python" -X elision=1
enabled "-E keeps the environment out" False PYTHON_ELISION=1 "$python" -E
enabled "-I keeps the environment out, malformed too" False PYTHON_ELISION=2 "$python" -I
enabled "-I with -X" True PYTHON_ELISION=2 "$python" -I -X elision=1
for value in 2 on -1 01 ' 1'; do
    refused "PYTHON_ELISION='$value'" PYTHON_ELISION="$value" "$python"
done
refused "-X elision" "$python" -X elision
refused "-X elision=" "$python" -X elision=
refused "-X elision=true" "$python" -X elision=true

tap_is "a malformed PYTHON_GIL is refused in the same words" \
    "$(PYTHON_GIL=2 "$python" -c 1 2>&1 | sed -n 's/.*: \(PYTHON_GIL .*\)/\1/p')" \
    'PYTHON_GIL / -X gil must be "0" or "1"'

gil='import sys, elision; print(sys._is_gil_enabled(), elision.active())'
tap_is "elision does not bring the GIL back" "$(PYTHON_ELISION=1 "$python" -c "$gil")" \
    "False False"
tap_is "with the GIL off it is not active" \
    "$(PYTHON_GIL=0 PYTHON_ELISION=1 out/bin/rtmgrind --quiet "$python" -c "$gil")" "False False"
tap_is "with the GIL on and RTM it is, and the GIL still counts as enabled" \
    "$(PYTHON_GIL=1 PYTHON_ELISION=1 out/bin/rtmgrind --quiet "$python" -c "$gil")" "True True"
tap_is "without RTM it is not" \
    "$(PYTHON_GIL=1 PYTHON_ELISION=1 out/bin/rtmgrind --quiet --rtm=no "$python" -c "$gil")" \
    "True False"

tap_has "set_enabled(True) without elision says how to get it" \
    "$("$python" -c 'import elision; elision.set_enabled(True)' 2>&1)" "PYTHON_ELISION=1"

export PYTHONPATH=out/tests/interp
warning=$("$python" -c 'import unsafe_counter' 2>&1)
tap_has "the warning for the module that brings the GIL back is unchanged" "$warning" \
    "The global interpreter lock (GIL) has been enabled to load module 'unsafe_counter', which has \
not declared that it can run safely without the GIL. To override this behavior and keep the GIL \
disabled (at your own risk), run with PYTHON_GIL=0 or -Xgil=0."
tap_is "gil_modules() says who imported it first" \
    "$("$python" -W ignore -c 'import elision, unsafe_counter; print(elision.gil_modules())')" \
    "[('unsafe_counter', '<module> (<string>:1)')]"

tap_is "or which, when several do, once each" \
    "$("$python" -W ignore -c 'import sys, unsafe_counter, lending, elision
del sys.modules["lending"]
import lending
print([name for name, _ in elision.gil_modules()])')" "['unsafe_counter', 'lending']"
tap_is "a file name that is no text keeps no module out" \
    "$("$python" -W ignore -c 'import elision
exec(compile("import unsafe_counter", "/tmp/\udcff.py", "exec"))
print(ascii(elision.gil_modules()))')" "[('unsafe_counter', '<module> (/tmp/\\udcff.py:1)')]"

# Debuggers and tracers look for these; and a transaction that binds a symbol lazily would abort.
tap_ok "take_gil is a symbol" grep -q ' t take_gil$' <(nm "$python")
unbound=$(for file in "$python" out/python/lib/python3.13*/lib-dynload/*.so; do
    readelf -d "$file" | grep -q 'BIND_NOW\|FLAGS.*NOW' || echo "$file"
done)
tap_is "the interpreter and its modules are bound at load" "$unbound" ""

tap_done
