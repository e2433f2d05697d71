#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The cases of lifecycle_cases.py: native with elision on, native through the library's lock, and
# emulated with the GIL elided. LIFECYCLE_ONLY=case runs one.
set -u -o pipefail
. tests/tap.sh

python=out/python/bin/python3
program=tests/interp/lifecycle_cases.py
export PYTHONPATH=out/tests/interp
unset PYTHON_GIL PYTHON_ELISION ELISION_BACKEND
# A watchdog for hangs; no case takes a tenth of it.
limit=(timeout --kill-after=10 300)

for case in ${LIFECYCLE_ONLY:-$("$python" "$program" --list)}; do
    gil=1
    [ "$case" != legacy_import_while_threads_run ] || gil=
    for mode in native backend-none emulated; do
        settings=(PYTHON_ELISION=1)
        command=("$python" "$program" "$case")
        [ -z "$gil" ] || settings+=(PYTHON_GIL=1)
        case $mode in
            backend-none) settings+=(ELISION_BACKEND=none) ;;
            emulated)
                settings+=(LIFECYCLE_SCALE=small)
                command=(out/bin/rtmgrind --quiet "${command[@]}")
                ;;
        esac
        output=$(env "${settings[@]}" "${limit[@]}" "${command[@]}" 2>&1)
        status=$?
        tap_is "$mode: $case" "$(tail -n 12 <<<"$output"), status $status" "ok, status 0"
    done
done

tap_done
