/* SPDX-License-Identifier: MIT
 *
 * Count, merge, coalesce, loan and free, as refcount.c and coalesce.c do them, for one object.
 *
 * Thread 0 made the object and has a reference; a cell, changed in sections only, has another. The
 * threads look, take, pass on and drop, in transactions (one step, since conflicts abort them; an
 * aborted one leaves nothing, so it is no step at all), in sections with the lock held (their steps
 * come between those of others outside), and outside sections. Whether the object is suspected is
 * left open; so is when loans end, unless LIMIT says how many sections' ends make one age.
 *
 * Never: the object touched or freed again when it is freed; a loan open longer than its bound.
 * Always in the end: it is freed, since everybody has dropped what he had.
 *
 * Each MUTANT is a rule broken; model.sh wants every one to fail.
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef THREADS
#define THREADS 2
#endif
#ifndef STEPS
#define STEPS 3
#endif
#define MAX_CREDIT 2

mtype = {PLAIN, QUEUED, MERGED};

/* The object's words. */
int local_word = 2; /* the reference of thread 0, and the one in the cell */
int shared_word = 0;
mtype state = PLAIN;
bool owned = true;
bool queued = false; /* in the owner's queue */
bool closed = false; /* the owner has exited */
bool freed = false;

bool cell = true;
bool locked = false;
byte finished = 0;
int net[THREADS];
int credit[THREADS];
#ifdef LIMIT
byte idle[THREADS];   /* sections' ends since the loan served or was found in use */
bool known[THREADS];  /* the table's slot knows the object: touched since the loan last aged */
byte unused[THREADS]; /* sections' ends since this thread's table last saw the object */
#endif

inline touch() {
    assert(!freed)
}

inline destroy() {
    atomic { assert(!freed); freed = true }
}

/* merge_words: the words first, then the CAS; dead says whether nothing is left */
inline merge(extra) {
    taken = local_word;
    local_word = 0;
    owned = false;
    atomic {
        touch();
#if MUTANT == 1 /* the owner's references are lost */
        shared_word = shared_word + extra;
#else
        shared_word = shared_word + taken + extra;
#endif
        state = MERGED;
        dead = (shared_word == 0)
    }
}

/* drop_shared, and queue_to_owner */
inline drop_one() {
    dead = false;
    pushing = false;
#if MUTANT == 2 /* reading and writing are apart */
    seen = shared_word;
    atomic {
        touch();
        if
        :: seen == 0 && state == PLAIN -> state = QUEUED; pushing = true
        :: else -> shared_word = seen - 1; dead = (shared_word == 0 && state == MERGED)
        fi
    }
#else
    atomic {
        touch();
        if
        :: shared_word == 0 && state == PLAIN ->
            state = QUEUED;
            pushing = true;
#if MUTANT == 3 /* the queue is given a reference that is dropped as well */
            shared_word = shared_word - 1
#endif
        :: else -> shared_word = shared_word - 1; dead = (shared_word == 0 && state == MERGED)
        fi
    }
#endif
    if
    :: pushing ->
        atomic {
            if
            :: !owned -> /* the owner merges, or has */
                touch();
                shared_word = shared_word - 1;
                dead = (shared_word == 0 && state == MERGED);
                pushing = false
            :: owned && !closed -> queued = true; pushing = false
            :: else
            fi
        }
        if
        :: pushing -> merge(-1)
        :: else
        fi
    :: else
    fi
}

inline apply(delta) {
    change = delta;
    if
    :: change > 0 -> atomic { touch(); shared_word = shared_word + change }
    :: else
    fi;
    do
    :: change < 0 ->
        change++;
        drop_one();
        if
        :: dead -> destroy()
        :: else
        fi
    :: else -> break
    od
}

inline add(delta) {
    net[me] = net[me] + delta;
#ifdef LIMIT
    known[me] = true;
    unused[me] = 0
#endif
}

inline get(coalesce) {
    touch();
    if
    :: me == 0 && owned ->
#if MUTANT == 4 /* the owner's increments are coalesced, its decrements are not */
        if
        :: coalesce -> add(1)
        :: else -> local_word++
        fi
#else
        local_word++
#endif
    :: else ->
        if
        :: coalesce -> add(1)
        :: else -> atomic { touch(); shared_word++ }
        fi
    fi
}

inline put(coalesce) {
    touch();
    if
    :: me == 0 && owned ->
        local_word--;
        if
#if MUTANT == 5 /* the owner frees without a look at the others' word */
        :: local_word == 0 -> destroy()
#else
        :: local_word == 0 && shared_word == 0 && state == PLAIN -> destroy()
        :: local_word == 0 && !(shared_word == 0 && state == PLAIN) ->
            merge(0);
            if
            :: dead -> destroy()
            :: else
            fi
#endif
        :: else
        fi
    :: else ->
#if MUTANT == 6 /* decrements go around the table */
        apply(-1)
#else
        if
        :: coalesce -> add(-1)
        :: else -> apply(-1)
        fi
#endif
    fi
}

inline close_loan() {
    given = credit[me];
    credit[me] = 0;
#if MUTANT == 7 /* a loan is forgotten, not returned */
    given = 0;
#endif
    if
    :: given != 0 -> apply(-given)
    :: else
    fi
}

/* age_loans: what was touched since the last look stays for as long again. */
inline age() {
#ifdef LIMIT
    idle[me]++;
    if
    :: idle[me] <= LIMIT
#if MUTANT == 11 /* to have been touched once is enough for ever */
    :: idle[me] > LIMIT && known[me] -> idle[me] = 0
#else
    :: idle[me] > LIMIT && known[me] -> idle[me] = 0; known[me] = false
#endif
    :: idle[me] > LIMIT && !known[me] -> close_loan()
    fi;
    if
    :: credit[me] != 0 -> assert(unused[me] <= 2 * LIMIT); unused[me]++
    :: else -> unused[me] = 0
    fi
#else
    skip
#endif
}

inline settle() {
    if
    :: net[me] != 0 ->
        due = net[me];
        net[me] = 0;
        if
        :: apply(due)
        :: due = credit[me] - due;
#ifdef LIMIT
            idle[me] = 0;
#endif
            if
            :: due < 0 || due > MAX_CREDIT ->
                credit[me] = MAX_CREDIT / 2;
#if MUTANT == 8 /* a reference on loan that was not taken */
                apply(-due)
#else
                apply(MAX_CREDIT / 2 - due)
#endif
            :: else ->
                credit[me] = due;
                if
                :: due > 0 && local_word + shared_word == due -> close_loan()
                :: else
                fi
            fi
        fi
    :: else
    fi;
    if
    :: credit[me] != 0 -> close_loan() /* a detach */
    :: credit[me] != 0 -> age()
    :: else
    fi
}

inline merge_queue() {
    if
    :: queued ->
        queued = false;
        merge(-1);
        if
        :: dead -> destroy()
        :: else
        fi
    :: else
    fi
}

/* One or two operations of a section. */
inline operate() {
    if
    :: me == 0 -> merge_queue()
    :: else
    fi;
    count = 0;
    do
    :: count < 2 && cell -> get(true); put(true); count++
    :: count < 2 && cell && !root -> get(true); root = true; count++
    :: count < 2 && root -> root = false; put(true); count++
    :: count < 2 && cell -> cell = false; put(true); count++
    :: count < 2 && root && me == 0 && owned -> merge(0); count++ /* gives its ownership up */
    :: count > 0 || credit[me] != 0 || (!cell && !root) -> break
    od
}

inline enter() {
    atomic { !locked; locked = true }
}

inline leave() {
    locked = false
}

proctype thread(byte me) {
    bool root = (me == 0);
    bool dead, pushing;
    int taken, change, due, given, seen;
    byte count, steps;

    do
    :: steps < STEPS ->
        steps++;
        if
        :: atomic { !locked; operate(); settle() }
        :: enter();
            operate();
#if MUTANT == 9 /* settled after the section */
            leave();
            settle()
#else
            settle();
            leave()
#endif
        :: root -> get(false); put(false)
        :: root -> root = false; put(false)
        fi
    :: true -> break
    od;
    /* Everybody drops what he has, by a section that detaches, and the owner exits. */
    enter();
    if
    :: root -> root = false; put(true)
    :: else
    fi;
    if
    :: me == THREADS - 1 && cell -> cell = false; put(true)
    :: else
    fi;
    settle();
    if
    :: credit[me] != 0 -> close_loan()
    :: else
    fi;
    leave();
    if
    :: me == 0 ->
        do
        :: queued -> merge_queue()
#if MUTANT == 10 /* the owner exits without a look at its queue */
        :: atomic { closed = true; queued = false }; break
#else
        :: atomic { !queued -> closed = true }; break
#endif
        od
    :: else
    fi;
    finished++
}

init {
    byte t;

    atomic {
        for (t : 0 .. THREADS - 1) {
            run thread(t)
        }
    }
    finished == THREADS;
    assert(!cell);
    assert(freed)
}
