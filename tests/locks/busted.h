/* SPDX-License-Identifier: MIT
 *
 * Deliberately broken locks. Each has one mistake, marked BUSTED; the rest is a plain elided test
 * and set lock that is right.
 */
#ifndef TESTS_LOCKS_BUSTED_H
#define TESTS_LOCKS_BUSTED_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <immintrin.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "elision/elision.h"
#include "probes/step.h"

#define BUSTED_TX __attribute__((target("rtm")))

static struct {
    _Atomic uint32_t word;
    char line[60];
} busted_word __attribute__((aligned(64)));

static _Thread_local bool busted_in_tx;
static _Thread_local unsigned busted_tries;
static _Atomic unsigned busted_most_tries;

static bool
busted_can_elide(void)
{
    return elision_verdict()->can_elide;
}

static void
busted_acquire(void)
{
    uint32_t free_word = 0;

    while (!atomic_compare_exchange_weak(&busted_word.word, &free_word, 1)) {
        free_word = 0;
        sched_yield();
    }
    busted_in_tx = false;
}

static BUSTED_TX void
busted_leave(void)
{
    if (busted_in_tx) {
        busted_in_tx = false;
        _xend();
    }
    else {
        atomic_store(&busted_word.word, 0);
    }
}

static BUSTED_TX void
busted_irrevocable(void)
{
    if (busted_in_tx) {
        _xabort(0xfe);
    }
}

static bool
busted_speculative(void)
{
    return busted_in_tx;
}

static void
busted_escape(void)
{
    busted_leave();
}

static unsigned
busted_attempts(void)
{
    return atomic_load(&busted_most_tries);
}

/* --- No subscription: nobody looks at the word in the transaction ------------------------------*/

static BUSTED_TX void
no_subscription_enter(void)
{
    for (int i = 0; i < 5 && busted_can_elide(); i++) {
        while (atomic_load(&busted_word.word) != 0) {
            sched_yield();
        }
        if (_xbegin() == _XBEGIN_STARTED) {
            busted_in_tx = true; /* BUSTED: the word may be taken from here on, unnoticed */
            return;
        }
    }
    busted_acquire();
}

/* --- Late subscription: looks at the word at the end -------------------------------------------*/

static BUSTED_TX void
late_subscription_leave(void)
{
    if (busted_in_tx) {
        if (atomic_load(&busted_word.word) != 0) {
            _xabort(0xff); /* BUSTED: what ran until here may have seen a holder's half-done work */
        }
        busted_in_tx = false;
        _xend();
        return;
    }
    atomic_store(&busted_word.word, 0);
}

/* --- The fallback does not wait for the lock to be free ----------------------------------------*/

static BUSTED_TX void
no_wait_enter(void)
{
    for (int i = 0; i < 3 && busted_can_elide(); i++) {
        if (_xbegin() == _XBEGIN_STARTED) {
            if (atomic_load(&busted_word.word) != 0) {
                _xabort(0xff);
            }
            busted_in_tx = true;
            return;
        }
    }
    if (atomic_load(&busted_word.word) == 0 || sched_yield() == 0) {
        atomic_store(&busted_word.word, 1); /* BUSTED: whether or not somebody holds it */
    }
    busted_in_tx = false;
}

/* --- Lost wake-up: the waker looks before it frees ---------------------------------------------*/

static _Atomic uint32_t lost_waiters;

static void
lost_wake_up_enter(void)
{
    uint32_t free_word = 0;

    while (!atomic_compare_exchange_strong(&busted_word.word, &free_word, 1)) {
        ELISION_STEP("lost wake-up: wait");
        atomic_fetch_add(&lost_waiters, 1);
        syscall(SYS_futex, &busted_word.word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
        atomic_fetch_sub(&lost_waiters, 1);
        free_word = 0;
    }
}

static void
lost_wake_up_leave(void)
{
    /* BUSTED: who starts to wait between the two lines sleeps for ever. */
    bool wake = atomic_load(&lost_waiters) != 0;
    ELISION_STEP("lost wake-up: release");
    atomic_store(&busted_word.word, 0);
    if (wake) {
        syscall(SYS_futex, &busted_word.word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

/* --- One retry count for all threads -----------------------------------------------------------*/

static int shared_count;

static BUSTED_TX void
shared_count_enter(void)
{
    busted_tries = 0;
    shared_count = 0; /* BUSTED: and so the others start from the beginning as well */
    while (busted_can_elide() && shared_count++ < 5) {
        while (atomic_load(&busted_word.word) != 0) {
            sched_yield();
        }
        busted_tries++;
        if (busted_tries > atomic_load(&busted_most_tries)) {
            atomic_store(&busted_most_tries, busted_tries);
        }
        if (_xbegin() == _XBEGIN_STARTED) {
            if (atomic_load(&busted_word.word) != 0) {
                _xabort(0xff);
            }
            busted_in_tx = true;
            return;
        }
    }
    busted_acquire();
}

/* --- XEND on the wrong path --------------------------------------------------------------------*/

static BUSTED_TX void
wrong_path_enter(void)
{
    busted_in_tx = true;
    for (int i = 0; i < 5 && busted_can_elide(); i++) {
        while (atomic_load(&busted_word.word) != 0) {
            sched_yield();
        }
        if (_xbegin() == _XBEGIN_STARTED) {
            if (atomic_load(&busted_word.word) != 0) {
                _xabort(0xff);
            }
            return;
        }
    }
    uint32_t free_word = 0;
    while (!atomic_compare_exchange_weak(&busted_word.word, &free_word, 1)) {
        free_word = 0;
        sched_yield();
    }
    /* BUSTED: busted_in_tx still says that a transaction runs; leave ends one that does not. */
    busted_in_tx = busted_can_elide();
}

#endif
