#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Nothing is left over after many sections of an elided GIL: leaks.sh [SECTIONS] (evidence:
# emulated). Each check of the eval breaker ends one, by a policy that does not lengthen them.
set -u -o pipefail
. tests/tap.sh

sections=${1-20000}
unset ELISION_BACKEND
export PYTHON_GIL=1 PYTHON_ELISION=1 PYTHONHASHSEED=0 ELISION_POLICY=static-6 ELISION_LENGTH=1

output=$(timeout --kill-after=10 6000 out/bin/rtmgrind --quiet out/python/bin/python3 \
    tests/interp/leaks.py 4 "$sections" 2>&1)
tap_is "4 threads: ${output#*: }" "${output%%:*}" steady
tap_done
