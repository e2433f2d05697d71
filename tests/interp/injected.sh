#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# CPython's own tests of threads with the GIL elided and aborts injected at random (evidence:
# emulated): test after test, drawn by chance, for INJECTED_SECONDS (600). What is drawn is printed,
# with its seed and rate; INJECTED_SEED=N draws the same again.
set -u -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
. tests/tap.sh

python=out/python/bin/python3
seconds=${INJECTED_SECONDS:-600}
RANDOM=${INJECTED_SEED:-$(($$ % 32768))}
echo "# INJECTED_SEED=${INJECTED_SEED:-$(($$ % 32768))}"
unset ELISION_BACKEND
export PYTHON_GIL=1 PYTHON_ELISION=1

# As in cpython.sh: not those that start further interpreters, compare times or really sleep.
tests=(
    "test_fork1"
    "test_gc -m test_legacy_finalizer* -m test_resurrect* -m test_get_objects*"
    "test_queue -m CPriorityQueueTest -m PySimpleQueueTest"
    "test_thread -m BarrierTest -m LockTests -m ThreadRunningTests"
    "test_threading -m ThreadTests.test_various_ops -m BarrierTests -m EventTests"
    "test_threading -m SemaphoreTests -m PyRLockTests -m CRLockTests"
    "test.test_free_threading.test_code"
    "test.test_free_threading.test_func_annotations"
    "test.test_free_threading.test_gc"
    "test.test_free_threading.test_list"
    "test.test_free_threading.test_monitoring"
    "test.test_free_threading.test_slots"
    "test.test_free_threading.test_str"
    "test.test_free_threading.test_tokenize"
    "test.test_free_threading.test_type"
)

while [ "$SECONDS" -lt "$seconds" ]; do
    read -ra test <<<"${tests[RANDOM % ${#tests[@]}]}"
    injected=("--abort-rate=$((200 + RANDOM % 5000))" "--seed=$((1 + RANDOM))")
    output=$(timeout --kill-after=10 900 out/bin/rtmgrind --quiet "${injected[@]}" "$python" \
        -m test "${test[@]}" 2>&1)
    if [ "$(tail -n 1 <<<"$output")" = "Result: SUCCESS" ]; then
        tap_pass "${injected[*]} ${test[*]}"
    else
        tap_fail "${injected[*]} ${test[*]}" "$(tail -n 40 <<<"$output")"
    fi
done
tap_done
