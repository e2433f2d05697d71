#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# CPython's own tests of threads with elision on: natively, through the library's lock natively, and
# a selection with the GIL elided under rtmgrind.
set -u -o pipefail
. tests/tap.sh

python=out/python/bin/python3
tests=(test_threading test_thread test_queue test_threading_local test_gc test_fork1 test_weakref
    test_finalization)
unset PYTHON_GIL PYTHON_ELISION ELISION_BACKEND
export PYTHON_GIL=1 PYTHON_ELISION=1

# suite NAME COMMAND...: regrtest's last word is SUCCESS.
suite() {
    local name=$1 output
    shift
    output=$("$@" 2>&1)
    if [ "$(tail -n 1 <<<"$output")" = "Result: SUCCESS" ]; then
        tap_pass "$name"
    else
        tap_fail "$name" "$(tail -n 40 <<<"$output")"
    fi
}

for test in "${tests[@]}"; do
    suite "native: $test" "$python" -m test "$test"
    suite "native, the library's lock: $test" env ELISION_BACKEND=none "$python" -m test "$test"
done
suite "native, the library's lock, switch interval 1e-6: test_thread" \
    env ELISION_BACKEND=none "$python" -c \
    'import sys; sys.setswitchinterval(1e-6)
sys.argv = ["test", "test_thread"]
import test.__main__'
suite "native, the library's lock, -X dev: test_thread" \
    env ELISION_BACKEND=none "$python" -X dev -m test test_thread

# Left out under the emulator, with reasons:
#   tests that start further interpreters: minutes each, and what they do has cases in lifecycle.sh
#   tests that compare times or rely on real sleeps: time is virtual there
emulated() {
    suite "emulated${injected[*]:+, ${injected[*]}}: $1 ${*: -1}" timeout 900 \
        out/bin/rtmgrind --quiet "${injected[@]}" "$python" -m test "$1" "${@:2}"
}
injected=()
emulated test_thread -m BarrierTest -m LockTests -m ThreadRunningTests
emulated test_queue -m CPriorityQueueTest -m PySimpleQueueTest
emulated test_threading -m ThreadTests.test_various_ops -m BarrierTests -m EventTests \
    -m SemaphoreTests -m PyRLockTests -m CRLockTests
injected=(--abort-rate=500)
emulated test_thread -m LockTests
emulated test_fork1
emulated test.test_free_threading.test_gc

# Beside a thread that comes and goes what one thread does runs in transactions: a destructor that
# counts its own object's references, finalizers that revive what is being collected, lists of all
# objects, and events that depend on versions of types.
injected=()
PYTHONPATH=tests/interp/company emulated test_gc -m 'test_legacy_finalizer*' -m 'test_resurrect*' \
    -m 'test_get_objects*'
PYTHONPATH=tests/interp/company emulated test.test_capi.test_watchers -m TestTypeWatchers

tap_done
