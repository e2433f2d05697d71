/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the litmus tests share: the instructions themselves, and a duel of two threads in virtual
 * time.
 *
 * A test asks one question. Nothing inside a transaction asserts, prints or calls through the PLT:
 * results leave it in registers, or are looked at behind it.
 */

#ifndef RTMGRIND_TESTS_LITMUS_H
#define RTMGRIND_TESTS_LITMUS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* what the tests use of Linux; this header comes first in each */
#endif

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define STARTED (~0u)
#define INLINE static inline __attribute__((always_inline, unused))

/* Status bits: SDM volume 1, table 16-1. */
enum {
    EXPLICIT = 1 << 0,
    RETRY = 1 << 1,
    CONFLICT = 1 << 2,
    CAPACITY = 1 << 3,
    DEBUG = 1 << 4,
    NESTED = 1 << 5
};

#define LINE 64

/* A line that nothing else lives on. */
struct line {
    _Alignas(LINE) volatile uint64_t word[LINE / 8];
};

/* STARTED, or the abort status. */
INLINE unsigned
tx_begin(void)
{
    unsigned status = STARTED;

    __asm__ volatile("xbegin 1f\n1:" : "+a"(status) : : "memory");
    return status;
}

INLINE void
tx_end(void)
{
    __asm__ volatile("xend" : : : "memory");
}

#define TX_ABORT(code) __asm__ volatile("xabort %0" : : "i"(code) : "memory")

INLINE int
tx_test(void)
{
    unsigned char in;

    __asm__ volatile("xtest\n\tsetnz %0" : "=r"(in) : : "cc", "memory");
    return in;
}

/* Virtual cycles; does not abort. */
INLINE uint64_t
now(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return (uint64_t)hi << 32 | lo;
}

INLINE void
wait_until(uint64_t when)
{
    while (now() < when) {
    }
}

/* Status of a transaction around `body`, STARTED when it committed. */
#define IN_TX(body)                          \
    __extension__({                          \
        const unsigned status_ = tx_begin(); \
        if (status_ == STARTED) {            \
            body;                            \
            tx_end();                        \
        }                                    \
        status_;                             \
    })

/* ------------------------------------------------------------------ */

/* A duel: the victim begins a transaction, runs `touch` and spins in registers until long after
 * the peer has run `disturb`, outside or inside a transaction of its own. They meet in virtual
 * time, which neither needs memory for. */
struct duel {
    void (*touch)(void *);
    void (*disturb)(void *);
    void *arg;
    int peer_in_tx;
    unsigned victim, peer; /* status, STARTED: committed */
    uint64_t start;        /* virtual time of the victim's begin */
};

enum { APART = 20000 };

INLINE unsigned
tx_held(void (*body)(void *), void *arg, uint64_t until)
{
    const unsigned status = tx_begin();

    if (status == STARTED) {
        body(arg);
        wait_until(until);
        tx_end();
    }
    return status;
}

/* The peer's copy: apart from the victim's stack, where lines are in the victim's sets. */
static _Alignas(4096) struct duel duel_arena;

static void *
duel_peer(void *p)
{
    const struct duel d = *(const struct duel *)p;
    unsigned status = STARTED;

    wait_until(d.start + APART);
    if (d.peer_in_tx) {
        status = tx_held(d.disturb, d.arg, d.start + 2 * APART);
    }
    else {
        d.disturb(d.arg);
    }
    wait_until(d.start + 6 * APART); /* the end of a thread unmaps memory, which aborts */
    ((struct duel *)p)->peer = status;
    return NULL;
}

static inline void
duel_run(struct duel *d)
{
    pthread_t peer;

    d->start = now() + 20 * APART;
    duel_arena = *d;
    assert_int_equal(pthread_create(&peer, NULL, duel_peer, &duel_arena), 0);
    wait_until(d->start);
    d->victim = tx_held(d->touch, d->arg, d->start + 4 * APART);
    assert_int_equal(pthread_join(peer, NULL), 0);
    d->peer = duel_arena.peer;
}

/* The end of a child process that lets its parent wait far longer than a call takes that does not
 * wait. */
static inline void
write_late(int fd)
{
    volatile long n = 20000000;

    while (n > 0) {
        n--;
    }
    _exit(write(fd, "x", 1) != 1);
}

static inline int
litmus_run(const char *name, const struct CMUnitTest *tests, size_t n)
{
    if (!__builtin_cpu_supports("avx2")) {
        puts("1..0 # SKIP the host's processor has no AVX2, which these tests use");
        return 0;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
}

#define LITMUS_MAIN(tests) litmus_run(__FILE__, tests, sizeof tests / sizeof tests[0])

#endif
