#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Known-bad variants of what we put into the interpreter, each with the test that must notice it
# (evidence: emulated). A variant is one source file with a small edit, compiled as the build does
# and linked into an interpreter of its own, which uses the installed library.
set -u -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
. tests/tap.sh

build=out/cpython/build
tree=$(realpath out/cpython/tree)
libraries="$(realpath out/lib/libelision-refcount.a) $(realpath out/lib/libelision.a)"
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
python=$work/python/bin/python3
mkdir -p "$work/python/bin"
ln -s "$(realpath out/python/lib)" "$work/python/lib"
unset ELISION_BACKEND MAKEFLAGS MFLAGS MAKELEVEL
export PYTHON_GIL=1 PYTHON_ELISION=1 PYTHONHASHSEED=0 PYTHONPATH=out/tests/interp
export LIFECYCLE_SCALE=small

# steps TARGET NEWER: what make would do for the target if that file were new
steps() {
    make -s -n -C "$build" -W "$2" LIBELISION="$libraries" "$1" 2>/dev/null
}

# variant NAME EXPRESSION: the file of that name in Python/, edited by sed -E, in a new interpreter
variant() {
    local object=Python/$1.o source=$tree/Python/$1.c compile link
    sed -E "$2" "$source" >"$work/$1.c"
    if [ -n "$2" ] && cmp -s "$source" "$work/$1.c"; then
        echo "the edit changes nothing in $1.c"
        return 1
    fi
    compile=$(steps "$object" "$source" | grep -- "-o $object") &&
        link=$(steps python Programs/python.o | grep -- ' -o python ') || return 1
    compile=${compile/"-o $object"/"-o $work/variant.o"}
    compile=${compile/"$source"/"$work/$1.c"}
    link=${link/ -o python / -o "$python" }
    link=${link/ "$object" / "$work/variant.o" }
    (cd "$build" && eval "$compile -I'$tree/Python'" && eval "$link") 2>&1
}

# Each says what it saw, and succeeds if all is well. A variant may hang: it is given several times
# as long as the slowest test took with the control.
limit=120
unsafe() {
    ELISION_ARBITER=off timeout -k 5 "$limit" out/bin/rtmgrind --quiet "$python" \
        tests/interp/run_unsafe.py 4 100 swap 2>&1 | tail -n 3 | tee "$work/seen"
    grep -q '^exact' "$work/seen"
}

lifecycle() {
    timeout -k 5 "$limit" out/bin/rtmgrind --quiet "$python" \
        "tests/interp/${2-lifecycle_cases}.py" "$1" 2>&1 | tail -n 3 | tee "$work/seen"
    [ "$(cat "$work/seen")" = ok ]
}

free_threaded() {
    PYTHON_GIL=0 lifecycle "$@"
}

# Through the library's lock.
memory() {
    ELISION_BACKEND=none timeout -k 5 "$limit" "$python" tests/interp/lifecycle_c.py \
        memory_others_may_read 2>&1 | tail -n 3 | tee "$work/seen"
    [ "$(cat "$work/seen")" = ok ]
}

# script NAME [ARGUMENT...]: a test of its own
script() {
    "tests/interp/$1.sh" "$python" "${@:2}" 2>&1 | tee "$work/seen"
    ! grep -q '^not ok' "$work/seen"
}

leaks() {
    ELISION_POLICY=static-6 ELISION_LENGTH=1 timeout -k 5 "$limit" out/bin/rtmgrind --quiet \
        "$python" tests/interp/leaks.py 4 1 2>&1 | tail -n 3 | tee "$work/seen"
    grep -q ' counts 0 ' "$work/seen"
}

# mutant WHAT FILE EXPRESSION TEST...: notices it, or not
mutant() {
    local what=$1 output
    if ! output=$(variant "$2" "$3"); then
        tap_fail "$what" "$output"
    elif output=$("${@:4}"); then
        tap_fail "noticed: $what" "$output"
    else
        tap_pass "noticed: $what"
    fi
}

tap_ok "the control, unchanged, is built" variant elision_glue ""
for test in unsafe leaks "script handover" "script alone" "script lookups" "script caches" memory \
    "script workloads namespaces repeats" \
    "lifecycle counts_seen_by_extensions lifecycle_c" \
    "lifecycle last_reference_dropped_elsewhere lifecycle_c" \
    "lifecycle destructor_wants_what_its_thread_waits_for lifecycle_c" \
    "lifecycle destructor_uses_what_its_thread_uses lifecycle_c" \
    "lifecycle thread_waits_for_a_destructor lifecycle_c" \
    "lifecycle objects_the_collector_lists lifecycle_c" \
    "lifecycle destructors_that_set_the_count lifecycle_c" \
    "lifecycle daemon_threads_wait_at_exit lifecycle_c" \
    "free_threaded fork_without_the_gil lifecycle_c" \
    "lifecycle kill_switch_while_threads_run"; do
    SECONDS=0
    # shellcheck disable=SC2086 # a command
    tap_ok "the control passes: $test" $test
    slowest=$((SECONDS > ${slowest-5} ? SECONDS : ${slowest-5}))
done
limit=$((slowest * 5))
mutant "after a checkpoint a thread goes on without the GIL" elision_glue \
    '/^section_continues/,/^}/{/label_pop/{n;s/return 0/return 1/}}' unsafe
mutant "a thread state is removed from its table twice" brc 's/bucket_node.next == NULL/tid == 0/' \
    lifecycle fork_while_threads_end
mutant "a thread writes its state before it knows whether that still is one" elision_glue \
    '/^_PyElision_TakeGIL/,/^}/s/^ +enum elision_path path = .*/&\n    set_budget(tstate, 1);/' \
    lifecycle daemon_threads_wait_at_exit lifecycle_c
mutant "a child of fork lets go of a GIL that it does not hold" elision_glue \
    '/^_PyElision_AfterForkChild/,/^}/s/_PyThreadState_GET\(\)->_status.holds_gil/1/' \
    free_threaded fork_without_the_gil lifecycle_c
mutant "the switch changes nothing" elision_glue \
    '/^_PyElision_Switch/,/^}/s/elision_set_enabled\(on\);//' \
    lifecycle kill_switch_while_threads_run
mutant "while the lock is kept nothing is quiescent" elision_glue \
    '/^_PyElision_Checkpoint/,/^}/{/for as long as/{n;d}}' memory
mutant "what sections have done is not told" elision_glue \
    's/tell\(\(unsigned\)checks\);/(void)tell;/' script handover
mutant "a thread speculates though nobody is beside it" elision_glue \
    '/^enter\(/,/^}/s/undisturbed\(e\) \?/0 ?/' script alone
mutant "who has the lock because nobody is there does not look who comes" elision_glue \
    '/^_PyElision_Checkpoint/,/^}/s/nobody = undisturbed\(e\)/nobody = 1/' script alone
mutant "who has detached still counts" elision_glue \
    '/^_PyElision_DropGIL/,/^}/s/.*running, -1.*//' script alone
mutant "who attaches anew counts twice" elision_glue \
    '/^attach_again/,/^}/s/.*running, -1.*//' script alone
mutant "in a child of fork its parent counts" elision_glue \
    '/^_PyElision_AfterForkChild/,/^}/s/^.*running, 0.*$//' script alone
mutant "what a thread looked up itself is not found" elision_lookups \
    '/^_PyElision_FindLookupSlow/,/^}/s/version == 0/1/' script lookups
mutant "what was looked up is good for any version" elision_lookups \
    '/^is_of/,/^}/s/== version/!= 0/;/^set_of/,/^}/s/version \^//' script lookups
mutant "nothing waits for a section's end" elision_deferred \
    '/^_PyElision_DeferSlow/,/^}/s/mine == NULL/1/' script caches hits
mutant "what waits keeps the place of its first time" elision_deferred \
    's/d->last = \+\+mine->now;//' script caches exact
mutant "what waits twice is done once" elision_deferred 's/d->n\+\+;//' script caches exact
mutant "when there is no room what waits is forgotten" elision_deferred \
    '/used == MOST/,/}/s/_PyElision_ApplyDeferredSlow\(\)/mine->used = 0/' script caches exact
mutant "a section ends without what waits for that" elision_refs \
    '/^_PyElision_Settle/,/^}/s/_PyElision_ApplyDeferred\(\);//' script caches exact
mutant "an increment by several goes to the object" elision_refs 's/n <= INT16_MAX/n == 1/' \
    script workloads repeats
mutant "a decrement by several drops one" elision_refs 's/for \(; delta < -1; delta\+\+\)/if (0)/' \
    leaks
mutant "the owner's queue is given no reference" elision_refs \
    's/ \+ ONE_SHARED \+ _Py_REF_QUEUED/ + _Py_REF_QUEUED/' leaks
mutant "an increment waits though there is one reference only" elision_refs \
    '/^increment/,/^}/s/>= 2/>= 1/' lifecycle counts_seen_by_extensions lifecycle_c
mutant "the table is not told counts: objects die when sections end" elision_refs \
    's/^ +\.count = count,$//' lifecycle last_reference_dropped_elsewhere lifecycle_c
mutant "a decrement of a dying object waits" elision_refs \
    '/^decrement/,/^}/s/!is_dying\(op\)/1/' lifecycle destructors_that_set_the_count lifecycle_c
mutant "a dying object is not taken out of the table" elision_refs \
    '/^_PyElision_Dealloc/,/^}/s/_PyElision_Flush\(op\);//' \
    lifecycle destructors_that_set_the_count lifecycle_c
mutant "loans are kept at a detach" elision_refs \
    's/: ELISION_SETTLE_DETACH/: ELISION_SETTLE_SECTION/' \
    lifecycle thread_waits_for_a_destructor lifecycle_c
mutant "destructors run where their thread stands in a queue" parking_lot \
    's/_PyElision_WillWait/_PyElision_Irrevocable/' \
    lifecycle destructor_wants_what_its_thread_waits_for lifecycle_c
mutant "destructors run while their thread has a lock of C code" elision_refs \
    's/: _PyElision_locks_held != 0/: 0/' \
    lifecycle destructor_uses_what_its_thread_uses lifecycle_c
mutant "a lock of C code is had for ever" thread \
    's/^#.*"thread_pthread.h"/#define _PyElision_LockReleased() ((void)0)\n&/' \
    lifecycle thread_waits_for_a_destructor lifecycle_c
mutant "the world is stopped before what waits is settled" pystate \
    '/^stop_the_world/,/^}/s/_PyElision_WillWait/_PyElision_Irrevocable/' \
    lifecycle objects_the_collector_lists lifecycle_c
mutant "the collector uses the table" gc_free_threading \
    's/_PyElision_StopCounting/_PyElision_Settle/' script workloads namespaces
mutant "shared keys are counted where they are" elision_refs \
    '/^_PyElision_CountKeysSlow/,/^}/s/is_dying\(object\)/1/' script workloads namespaces
tap_done
