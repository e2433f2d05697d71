#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The cases of lifecycle_cases.py and lifecycle_c.py: native with elision on, native through the
# library's lock, and emulated with the GIL elided. LIFECYCLE_ONLY=case runs one. And an interpreter
# that is embedded, initialized and finalized several times.
set -u -o pipefail
. tests/tap.sh

python=out/python/bin/python3
export PYTHONPATH=out/tests/interp:tests/interp PYTHONDONTWRITEBYTECODE=1
unset PYTHON_GIL PYTHON_ELISION ELISION_BACKEND
# A watchdog for hangs; no case takes a tenth of it.
limit=(timeout --kill-after=10 300)

# in_each_mode NAME COMMAND...: COMMAND says ok, in every turn if it has several.
in_each_mode() {
    local name=$1 mode settings command output status
    shift
    for mode in native backend-none emulated; do
        settings=(PYTHON_ELISION=1)
        command=("$@")
        case $name in
            legacy_import_while_threads_run | fork_without_the_gil) ;;
            *) settings+=(PYTHON_GIL=1) ;;
        esac
        case $mode in
            backend-none) settings+=(ELISION_BACKEND=none) ;;
            emulated)
                settings+=(LIFECYCLE_SCALE=small)
                command=(out/bin/rtmgrind --quiet "$@")
                ;;
        esac
        output=$(env "${settings[@]}" "${limit[@]}" "${command[@]}" 2>&1)
        status=$?
        output=$(grep -v '^--- Loop #' <<<"$output" | uniq)
        tap_is "$mode: $name" "$(tail -n 12 <<<"$output"), status $status" "ok, status 0"
    done
}

for program in tests/interp/lifecycle_cases.py tests/interp/lifecycle_c.py; do
    for case in $("$python" "$program" --list); do
        if [ "${LIFECYCLE_ONLY:-$case}" = "$case" ]; then
            in_each_mode "$case" "$python" "$program" "$case"
        fi
    done
done

if [ -z "${LIFECYCLE_ONLY-}" ]; then
    PYTHONHOME=$PWD/out/python in_each_mode embedded out/cpython/build/Programs/_testembed \
        test_repeated_init_exec 'import lifecycle_c; lifecycle_c.embedded()'
fi
tap_done
