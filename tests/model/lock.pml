/* SPDX-License-Identifier: MIT
 *
 * The fallback lock and its subscribers, step by step as in fallback/lock.c and elision/elide.c, for
 * all interleavings. What is one action here is one atomic instruction or one hold of the queue's
 * lock there. The store of 0 in a release sits in a store buffer (pend) until it drains, a locked
 * instruction of the same thread, or another thread's membarrier: as on x86.
 *
 * Checked: one holder at a time; no section, committed or not, sees half of another's work; every
 * thread ends (a lost wake-up is an invalid end state); nothing is lost or made.
 *
 * Each mutant is one mistake (spin -DMUTANT_...); model.sh wants every one of them to fail.
 */
#ifndef N
#define N 3 /* threads */
#endif
#ifndef ROUNDS
#define ROUNDS 1 /* sections of each */
#endif
#ifndef PASSES
#define PASSES 1 /* INTERVAL instead: a hand-over at any time, as a switch interval forces it */
#endif

mtype = { WAITING, WOKEN, HANDED, SENT };

byte word; /* 0 free, else the holder */
bool pend[N + 1]; /* this thread's store of 0 has not drained */
bool attention;
byte losses;
byte queue[N + 2];
byte waiters;
bool locker[N + 2];
mtype state[N + 2];

bool tx[N + 1]; /* a transaction is open ... */
bool doomed[N + 1]; /* ... and will not commit */
bool has_x[N + 1], has_y[N + 1]; /* ... and has read these */
byte x, y; /* equal outside sections */
byte done;
bool may_send = true; /* nobody has sent waiters away yet; once is enough */

#define GHOST (N + 1) /* a thread of the parent that does not exist in this child */
bool stale; /* the queue was last locked before the fork */

/* Somebody writes the word: whoever subscribed aborts. */
inline write_word(value) {
    word = value;
    for (k : 1 .. N) {
        doomed[k] = doomed[k] || subscribed[k];
    }
}

/* This thread's buffered store reaches memory. */
inline drain(t) {
    if
    :: pend[t] -> pend[t] = false; word = 0
    :: else
    fi
}

inline queue_lock() {
    if
    :: stale ->
        stale = false;
#ifndef MUTANT_FORK_KEEPS_QUEUE
        waiters = 0;
        attention = false;
        losses = 0;
#endif
    :: else
    fi
}

inline queue_remove(t) {
    at = 0;
    do
    :: at < waiters && queue[at] != t -> at++
    :: else -> break
    od;
    if
    :: at < waiters ->
        last = (at == 0);
        waiters--;
        do
        :: at < waiters -> queue[at] = queue[at + 1]; at++
        :: else -> break
        od;
        queue[waiters] = 0;
        if
        :: last ->
            losses = 0;
#ifdef MUTANT_NO_ATTENTION_FOR_NEXT
            attention = false;
#else
            attention = (waiters > 0);
#endif
        :: else
        fi
    :: else
    fi
}

/* One hold of the queue's lock in a release. */
inline release_slow(t, released) {
    atomic {
        drain(t);
        queue_lock();
        h = queue[0];
        if
#ifdef INTERVAL
        :: !released && waiters > 0 && locker[h] -> /* its switch interval is over */
#else
        :: !released && waiters > 0 && locker[h] && losses >= PASSES ->
#endif
            queue_remove(h);
#ifdef MUTANT_HAND_OVER_TO_NOBODY
            write_word(0);
#else
            write_word(h);
#endif
            state[h] = HANDED
#ifdef INTERVAL
        :: true -> /* or not yet */
#else
        :: else ->
#endif
            if
            :: !released -> word = 0
            :: else
            fi;
            do
            :: waiters > 0 && !locker[queue[0]] ->
                h = queue[0];
                queue_remove(h);
                state[h] = WOKEN
            :: waiters > 0 && locker[queue[0]] ->
                state[queue[0]] = WOKEN;
                attention = false;
                break
            :: waiters == 0 -> break
            od
        fi;
        at = 0;
        last = false;
        h = 0
    }
}

inline release(t) {
    if
    :: attention -> release_slow(t, false)
    :: !attention ->
#ifdef MUTANT_WAKES_BEFORE_FREEING
        if
        :: attention -> release_slow(t, true)
        :: else
        fi;
        pend[t] = true
#else
        pend[t] = true;
        /* The light fence orders the compiler only: the load below may run first. */
        if
        :: attention -> release_slow(t, true)
        :: !attention
        fi
#endif
    fi
}

/* Lockers are told to decide anew, all at once. */
inline send_away(t) {
    atomic {
        may_send = false;
        drain(t);
        queue_lock();
        k = 0;
        do
        :: k < waiters && locker[queue[k]] ->
            h = queue[k];
            queue_remove(h);
            state[h] = SENT
        :: k < waiters && !locker[queue[k]] -> k++
        :: else -> break
        od;
        lost = (waiters > 0);
        k = 0;
        at = 0;
        last = false;
        h = 0
    }
#ifndef MUTANT_SENDER_LEAVES_QUIETLY
    if
    :: lost -> release_slow(t, true)
    :: else
    fi;
#endif
    lost = false
}

inline heavy_fence() {
#ifdef MUTANT_NO_HEAVY_FENCE
    skip
#else
    atomic {
        for (k : 1 .. N) {
            drain(k)
        }
    }
#endif
}

inline enqueue(t, is_locker) {
    atomic {
        drain(t);
        queue_lock();
        locker[t] = is_locker;
        state[t] = WAITING;
        queue[waiters] = t;
        waiters++;
        if
        :: queue[0] == t -> attention = true; losses = 0
        :: else
        fi
    }
}

/* ok: the word was free and is this thread's. */
inline try(t) {
    atomic {
        drain(t);
        if
        :: word == 0 -> write_word(t); ok = true
        :: else -> ok = false
        fi
    }
}

inline acquire(t) {
    try(t);
    if
    :: ok
    :: else ->
        enqueue(t, true);
        fenced = false;
        do
        :: true ->
            try(t);
            if
            :: ok ->
                atomic { queue_lock(); queue_remove(t); at = 0; last = false };
                break
            :: else
            fi;
            atomic {
                head = (queue[0] == t);
                handed = (state[t] == HANDED || state[t] == SENT);
                lost = (state[t] == WOKEN);
                if
                :: lost ->
                    state[t] = WAITING;
                    losses++;
#ifndef MUTANT_LOSER_KEEPS_QUIET
                    attention = true;
#endif
                    fenced = false
                :: else
                fi
            }
            if
            :: handed -> break
            :: !handed && lost -> skip /* spins a little, tries again */
            :: !handed && !lost && head && !fenced ->
                heavy_fence();
#ifdef MUTANT_NO_SECOND_LOOK
                state[t] != WAITING;
#endif
                fenced = true
            :: !handed && !lost && !(head && !fenced) ->
                state[t] != WAITING /* sleeps */
            fi;
            if
            :: state[t] == HANDED || state[t] == SENT -> break
            :: else
            fi
        od;
        atomic { sent = (!ok && state[t] == SENT); head = false; handed = false; lost = false; fenced = false; ok = false }
    fi;
    ok = false
}

inline watch(t) {
    if
    :: word == 0 || pend[t]
    :: else ->
        enqueue(t, false);
        heavy_fence();
        do
        :: word == 0 ->
            atomic {
                queue_lock();
                queue_remove(t);
                lost = (waiters > 0);
                at = 0;
                last = false
            }
#ifndef MUTANT_WATCHER_LEAVES_QUIETLY
            if
            :: lost -> release_slow(t, true)
            :: else
            fi;
#endif
            break
        :: word != 0 && state[t] != WAITING -> break
        :: word != 0 && state[t] == WAITING -> state[t] != WAITING
        od;
        lost = false
    fi
}

/* Writes by a locked section abort every transaction that has read the same. */
inline write_x(t) {
    atomic {
        x++;
        for (k : 1 .. N) {
            doomed[k] = doomed[k] || has_x[k];
        }
    }
}

inline write_y(t) {
    atomic {
        y++;
        for (k : 1 .. N) {
            doomed[k] = doomed[k] || has_y[k];
        }
    }
}

bool subscribed[N + 1];

inline locked_section(t) {
    acquire(t);
    if
    :: sent
    :: else ->
        assert(word == t);
        write_x(t);
        assert(word == t);
        write_y(t);
        assert(x == y);
        release(t)
    fi
}

inline end_tx(t) {
    tx[t] = false;
    doomed[t] = false;
    subscribed[t] = false;
    has_x[t] = false;
    has_y[t] = false
}

/* fell: the transaction did not commit. A doomed one is undone before its next step. */
inline speculative_section(t) {
    watch(t);
    atomic { drain(t); tx[t] = true };
#if !defined(MUTANT_NO_SUBSCRIPTION) && !defined(MUTANT_LATE_SUBSCRIPTION)
    atomic {
        fell = (word != 0);
        subscribed[t] = true
    }
#endif
    atomic {
        if
        :: !fell && !doomed[t] -> has_x[t] = true; seen = x
        :: else -> fell = true
        fi
    }
    atomic {
        if
        :: !fell && !doomed[t] ->
            has_y[t] = true;
            assert(seen == y) /* even if it never commits */
        :: else -> fell = true
        fi
    }
    atomic {
#ifdef MUTANT_LATE_SUBSCRIPTION
        fell = fell || word != 0;
#endif
        if
        :: !fell && !doomed[t] ->
            x++;
            y++;
            for (k : 1 .. N) {
                doomed[k] = doomed[k] || (k != t && (has_x[k] || has_y[k]));
            }
        :: else -> fell = true
        fi;
        end_tx(t);
        seen = 0
    }
}

proctype thread(byte t) {
    byte k, at, h, seen, round;
    bool ok, fenced, head, handed, lost, last, fell, sent;

    for (round : 1 .. ROUNDS) {
again:
        fell = true;
        if
        :: true -> fell = false; speculative_section(t)
        :: true
        fi;
        if
        :: fell ->
            locked_section(t);
            if
            :: sent -> sent = false; goto again
            :: else
            fi
        :: else
        fi;
        if
        :: may_send -> send_away(t)
        :: true
        fi
    }
    atomic { done++; fell = false }
}

/* Store buffers drain whenever they like. */
proctype memory() {
    byte k;

end:
    do
    :: atomic { pend[1] -> pend[1] = false; word = 0 }
    :: atomic { N > 1 && pend[2 % (N + 1)] -> pend[2 % (N + 1)] = false; word = 0 }
    :: atomic { N > 2 && pend[3 % (N + 1)] -> pend[3 % (N + 1)] = false; word = 0 }
    od
}

init {
    byte k;

    atomic {
        /* A fresh lock, or one whose queue came through a fork. */
        if
        :: true
        :: true ->
            stale = true;
            queue[0] = GHOST;
            waiters = 1;
            locker[GHOST] = true;
            state[GHOST] = WAITING;
            attention = true;
            losses = PASSES
        fi;
        run memory();
        for (k : 1 .. N) {
            run thread(k)
        }
    }
    done == N;
    /* The last release may still be in a store buffer. */
    !pend[1] && !pend[2 % (N + 1)] && !pend[3 % (N + 1)];
    assert(word == 0 && x == y && x == N * ROUNDS);
    assert(waiters == 0 || stale)
}
