/* SPDX-License-Identifier: MIT
 *
 * Counts instructions of an uncontended enter and leave, speculative and locked, with glibc's mutex
 * (elided, when GLIBC_TUNABLES says so) beside it. Only under rtmgrind with every cost but an
 * instruction's set to nothing: then its clock counts instructions. tests/unit/counted.sh runs it.
 *
 *     counted         prints "name instructions path" lines
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "elision/elision.h"
#include "elision/tx.h"
#include "rtmgrind/rtmgrind.h"

#define PAIRS 10000

static elision_lock_t lock = ELISION_LOCK_INIT;
static elision_site_t site = ELISION_SITE_INIT("counted");
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void
nothing(void)
{
    for (volatile int i = 0; i < PAIRS; i++) {
    }
}

static void
pairs(void)
{
    for (volatile int i = 0; i < PAIRS; i++) {
        (void)elision_enter(&lock, &site);
        elision_leave(&lock);
    }
}

static void
mutex_pairs(void)
{
    for (volatile int i = 0; i < PAIRS; i++) {
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
    }
}

/* ret: whether glibc's mutex runs its sections in transactions */
static ELISION_TX bool
mutex_elides(void)
{
    pthread_mutex_lock(&mutex);
    bool elided = elision_tx_active_() != 0;
    pthread_mutex_unlock(&mutex);
    return elided;
}

/* ret: instructions of run */
static double
count(void (*run)(void))
{
    run();
    unsigned long before = RTMGRIND_CLOCK();
    run();
    return (double)(RTMGRIND_CLOCK() - before);
}

static void *
wait_for_end(void *unused)
{
    return unused;
}

int
main(void)
{
    pthread_t thread;
    double loop = count(nothing);

    if (!RTMGRIND_EMULATED()) {
        fprintf(stderr, "counted: only under rtmgrind\n");
        return 2;
    }
    /* A process with threads: both libraries have cheaper ways when there is only one. */
    pthread_create(&thread, NULL, wait_for_end, NULL);
    pthread_join(thread, NULL);
    elision_set_concurrency(2);
    double speculative = count(pairs);
    double glibc = count(mutex_pairs);
    elision_set_enabled(false);
    double locked = count(pairs);
    printf("libelision %.2f speculative\n", (speculative - loop) / PAIRS);
    printf("libelision %.2f locked\n", (locked - loop) / PAIRS);
    printf("pthread_mutex %.2f %s\n", (glibc - loop) / PAIRS,
           mutex_elides() ? "speculative" : "locked");
    return 0;
}
