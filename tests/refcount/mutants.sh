#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Known-bad variants of the library: each is one edit that breaks one rule, and coalesce.c,
# oracle.c, life.c or heap.c must notice.
# A mutant that is not an edit any more, or does not compile, is a failure of this test.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
. tests/tap.sh

out=${OUT:-out}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
killed=0
total=0
before= # what the last mutant changed

# build: from the sources under $work. Objects of the last build serve if their sources do.
build() {
    local source object objects=()
    for source in tests/refcount/{heap,life,coalesce,oracle}.c refcount/{coalesce,refcount}.c; do
        object=$work/$(echo "$source" | tr / -).o
        objects+=("$object")
        if [ -f "$object" ] && cmp -s "$source" "$work/$source" && [ "$source" != "$before" ] &&
            [ "${before##*.}" != h ] && cmp -s refcount/refcount.h "$work/refcount/refcount.h"; then
            continue
        fi
        ${CC:-gcc} -std=c11 -O1 -g -I"$work" -I. -c -o "$object" "$work/$source" || return
    done >"$work/log" 2>&1
    for source in 0 1 2 3; do
        ${CC:-gcc} -pthread -o "$work/program$source" "${objects[$source]}" "${objects[4]}" \
            "${objects[5]}" "$out/lib/libelision.a" -lcmocka >"$work/log" 2>&1 || return
    done
}

fresh() {
    mkdir -p "$work/tests/refcount"
    rm -rf "$work/refcount"
    cp -r refcount "$work/"
    cp tests/refcount/*.[ch] "$work/tests/refcount/"
}

# Nothing but their own exits count: wrong results, a crash, or no end in time. That is processor
# time, of which a busy machine takes no more: the longest needs 9 seconds.
survives() {
    (
        ulimit -t 40
        timeout 300 "$work/program2" && timeout 300 "$work/program3" &&
            timeout 300 "$work/program1" &&
            timeout 300 "$work/program0" --programs=6 --sections=400 --steps=30 &&
            timeout 300 "$work/program0" --programs=4 --sections=400 --threads=2
    ) >"$work/log" 2>&1
}

# mutant WHAT FILE SED: the edit must change the file and be noticed.
mutant() {
    local what=$1 file=$2 edit=$3
    total=$((total + 1))
    fresh
    sed -i -E "$edit" "$work/$file"
    if cmp -s "$file" "$work/$file"; then
        tap_fail "$what" "the edit changes nothing in $file"
    elif ! build; then
        tap_fail "$what" "$(head -n 5 "$work/log")"
    elif survives 2>/dev/null; then
        tap_fail "$what" "not noticed"
    else
        killed=$((killed + 1))
        tap_pass "noticed: $what"
    fi
    before=$file
}

fresh
build || tap_fail "the control is built" "$(head -n 5 "$work/log")"
tap_ok "the control, unchanged, passes" survives

c=refcount/coalesce.c
r=refcount/refcount.c
h=refcount/refcount.h
mutant "a net is dropped" $c 's/return apply\(table, object, net\);/return 0;/'
mutant "a net is applied twice" $c 's/^( +)table->net_\[slot\] = 0;/\1;/;s/while \(any\)/while (0)/'
mutant "flush leaves the net in the table" $c \
    '/^elision_coalesce_flush/,/^}/s/net_\[slot\] = 0/net_[slot] += 0/'
mutant "flush drops a loan's credit" $c 's/delta -= close_loan/(void)close_loan/'
mutant "an overflowing change is lost" $c \
    '/overflows\+\+/,/return;/s/apply\(table, object, delta\)/delta - delta/'
mutant "a slot in use is taken" $c 's/if \(table->net_\[slot\] == 0\)/if (true)/'
mutant "an object is looked for in one slot only" $c \
    '/^find_slot/,/^}/s/probe < ELISION_COALESCE_PROBES/probe < 1/'
mutant "a loan has credit it did not take" $c \
    's/(apply\(table, object, )ELISION_LOAN_CREDIT \/ 2 (- credit\))/\1\2/'
mutant "a loan's excess is not returned" $c \
    's/return apply\(table, object, ELISION_LOAN_CREDIT/if (credit > 0) { return 0; } &/'
mutant "an aged loan is not returned" $c '/^end_loans/,/^}/s/if \(credit != 0\)/if (credit > 99)/'
mutant "a loan in use is returned" $c '/^touched/,/^}/s/return slot >= 0/return false/'
mutant "a loan not in use is kept" $c \
    '/^touched/,/^}/s/key_\[slot\] = HIDDEN/net_[slot] = 0/'
mutant "what was flushed is found by the first look" $c \
    '/^elision_coalesce_flush/,/^}/s/table->key_\[slot\] = HIDDEN;//'
mutant "a hint is taken for the loan" $c 's/(hint <= table->loans_) && [^{]*\{/\1) {/'
mutant "the last loan is forgotten when one is closed" $c \
    's/put_loan\(table, i, table->loan_\[--table->loans_\]\);/--table->loans_;/'
mutant "the last reference is not noticed when it is dropped" $c \
    '/^elision_coalesce_dropped_/,/^}/s/count != NULL/count == NULL/'
mutant "an object with references is taken for dropped" $c \
    '/^elision_coalesce_dropped_/,/^}/s/==$/>=/'
mutant "detach keeps loans" $c \
    's/end_loans\(table, what\)/end_loans(table, 0)/;s/(\} while \().* != 0/\10/'
mutant "a quiet detach destroys" $c '/^loan_ends/,/^}/s/what == ELISION_SETTLE_QUIET/false/'
mutant "what a quiet detach kept stays" $c 's/(loan->idle_ = )ELISION_LOAN_SECTIONS/\10/'
mutant "or counts as in use" $c '/^loan_ends/,/^}/s/\(void\)touched\(.*$//'
mutant "what dies at a section's end is not destroyed" $c 's/^( +)table->ops_->destroy\(.*$/\1;/'
mutant "settled after leaving" tests/refcount/heap.c \
    '/^section\(/,/^}/{
    /elision_leave/d
    s/^    if \(roll\(w, 64\)/    elision_leave(\&lock);\n    sched_yield();\n&/
}'
mutant "increments coalesce, decrements do not" $h \
    '/^elision_ref_put\(/,/^}/s/self->active_ != NULL/false/'
mutant "the owner coalesces increments" $h \
    '/^elision_ref_get\(/,/^}/s/== self\)/== self \&\& self->active_ == NULL)/'
mutant "the owner frees without a look at the others" $r \
    's/\|\| merge_words\(ref, 0\) == 0/|| true/'
mutant "merging loses the owner's references" $r \
    's/count_of\(shared\) \+ local \+ extra/count_of(shared) + extra/'
mutant "merging keeps the queue's reference" $r 's/merge_words\(list, -1\)/merge_words(list, 0)/'
mutant "queueing drops the reference it hands on" $r \
    's/queue \? ELISION_REF_QUEUED :/queue ? ELISION_REF_QUEUED - ELISION_REF_ONE :/'
mutant "an object is not queued" $r '/^drop_shared/,/^}/s/if \(queue\)/if (false)/'
mutant "who asks the owner gives the queue no reference" $r \
    's/\(count_of\(shared\) \+ 1\)/count_of(shared)/'
mutant "an exiting owner forgets its queue" $r \
    '/^elision_ref_thread_exit/,/^}/s/elision_ref_merge\(self\)/self->queue_ = NULL/'
mutant "a weak reference revives the dead" $r \
    's/shared == ELISION_REF_PLAIN \|\| shared == ELISION_REF_MERGED/false/'
mutant "a weak reference is followed in a locked section by the table" $r \
    's/ && self->isolated_//'
mutant "uniqueness is asked of the real count" $r \
    '/^elision_ref_is_unique/,/^}/s/elision_coalesce_flush\(.*\)/(void)0/'
mutant "a decrement by many drops one" $r 's/for \(; delta < 0; delta\+\+\)/if (delta < 0)/'
mutant "decrements are not atomic" $r \
    '/^cas\(/,/^}/{
    s/return .*/bool same = ref->shared_ == *expected;/
    s/^ +__ATOMIC_ACQUIRE\);$/sched_yield(); \
        *(same ? \&ref->shared_ : expected) = same ? wanted : ref->shared_; return same;/
}'
echo "# $killed of $total mutants were noticed"
tap_done
