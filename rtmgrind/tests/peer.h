/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The invariant that each peer's lock must keep: threads move money between accounts, and the sum
 * stays what it was, at every look inside a section and at the end.
 */

#ifndef RTMGRIND_TESTS_PEER_H
#define RTMGRIND_TESTS_PEER_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { PEER_THREADS = 4, PEER_ACCOUNTS = 32 };

struct peer_account {
    __attribute__((aligned(64))) long balance;
};
static struct peer_account peer_account[PEER_ACCOUNTS];

/* What a section does; the peer's program puts its lock around it. Returns the sum over all
 * accounts now and then, else 0: not 0 at any time means that a section was not atomic. */
static inline long
peer_section(unsigned n)
{
    const unsigned from = n % PEER_ACCOUNTS, to = n / PEER_ACCOUNTS % PEER_ACCOUNTS;
    long sum = 0;
    int i;

    peer_account[from].balance--;
    peer_account[to].balance++;
    if (n % 64 == 0) {
        for (i = 0; i < PEER_ACCOUNTS; i++) {
            sum += peer_account[i].balance;
        }
    }
    return sum;
}

struct peer_thread {
    pthread_t self;
    long (*locked_section)(unsigned n);
    unsigned seed;
    int moves;
    long wrong;
};

static void *
peer_body(void *p)
{
    struct peer_thread *t = (struct peer_thread *)p;
    unsigned n = t->seed;
    int i;

    for (i = 0; i < t->moves; i++) {
        n = n * 1664525u + 1013904223u;
        t->wrong += t->locked_section(n >> 8) != 0;
    }
    return NULL;
}

/* The program's exit status: 0 when the invariant held. PEER_MOVES in the environment: how many a
 * thread makes, 2000 unless told. */
static inline int
peer_run(long (*locked_section)(unsigned n))
{
    struct peer_thread thread[PEER_THREADS];
    const char *moves = getenv("PEER_MOVES");
    long wrong = 0, sum = 0;
    int i;

    for (i = 0; i < PEER_THREADS; i++) {
        thread[i].moves = moves ? atoi(moves) : 2000;
        thread[i].locked_section = locked_section;
        thread[i].seed = (unsigned)i + 1;
        thread[i].wrong = 0;
        if (pthread_create(&thread[i].self, NULL, peer_body, &thread[i]) != 0) {
            return 2;
        }
    }
    for (i = 0; i < PEER_THREADS; i++) {
        pthread_join(thread[i].self, NULL);
        wrong += thread[i].wrong;
    }
    for (i = 0; i < PEER_ACCOUNTS; i++) {
        sum += peer_account[i].balance;
    }
    printf("%ld wrong looks, sum %ld\n", wrong, sum);
    return wrong || sum;
}

#endif
