/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "bench/locks.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "elision/elision.h"

#if defined(__x86_64__)
#define relax() __builtin_ia32_pause()
#else
#define relax() ((void)0)
#endif

enum { LINE = 64 };

/* --- libelision --------------------------------------------------------------------------------*/

/* Each workload on each number of threads has a lock and a site of its own, so that none starts
 * with what another one taught. A run goes on with what shorter ones before it learnt. */
enum { PAIRS = 128 };
static struct pair {
    elision_lock_t lock;
    elision_site_t site;
    int threads;
} pairs[PAIRS];
static struct pair *pair;

static void
elided_choose(const char *workload, int threads)
{
    for (pair = pairs; pair->threads != 0; pair++) {
        if (pair->threads == threads && pair->site.name_ == workload) {
            return;
        }
    }
    if (pair == &pairs[PAIRS - 1]) {
        fputs("bench: more workloads than locks.c has sites for\n", stderr);
        exit(1);
    }
    pair->threads = threads;
    pair->site = (elision_site_t)ELISION_SITE_INIT(workload);
}

static void
elided_reset(const char *workload, int threads)
{
    elided_choose(workload, threads);
    elision_set_enabled(true);
}

static void
plain_reset(const char *workload, int threads)
{
    elided_choose(workload, threads);
    elision_set_enabled(false);
    elision_set_switch_interval(&pair->lock, 0);
}

enum { SWITCH_INTERVAL = 1000 * 1000 }; /* ns; several fit in a short run */

static void
fair_reset(const char *workload, int threads)
{
    plain_reset(workload, threads);
    elision_set_switch_interval(&pair->lock, SWITCH_INTERVAL);
}

static void
elided_run(struct work_thread *t)
{
    elision_enter(&pair->lock, &pair->site);
    bench_section(t);
    elision_leave(&pair->lock);
}

const struct bench_lock bench_lock_elided = {
    .name = "elided", .reset = elided_reset, .run = elided_run, .elides = true, .speculates = true};
const struct bench_lock bench_lock_plain = {
    .name = "plain", .reset = plain_reset, .run = elided_run};
const struct bench_lock bench_lock_fair = {.name = "fair", .reset = fair_reset, .run = elided_run};

/* --- glibc -------------------------------------------------------------------------------------*/

static _Alignas(LINE) pthread_mutex_t mutex;

/* Of the type PTHREAD_MUTEX_NORMAL, said in so many words: glibc elides only mutexes whose type was
 * never set. */
static void
pthread_reset(const char *workload, int threads)
{
    pthread_mutexattr_t type;
    (void)workload, (void)threads;
    pthread_mutexattr_init(&type);
    pthread_mutexattr_settype(&type, PTHREAD_MUTEX_NORMAL);
    pthread_mutex_init(&mutex, &type);
    pthread_mutexattr_destroy(&type);
}

static void
pthread_run(struct work_thread *t)
{
    pthread_mutex_lock(&mutex);
    bench_section(t);
    pthread_mutex_unlock(&mutex);
}

const struct bench_lock bench_lock_pthread = {
    .name = "pthread", .reset = pthread_reset, .run = pthread_run};

/* --- Ticket ------------------------------------------------------------------------------------*/

static struct {
    _Alignas(LINE) _Atomic uint32_t next;
    _Alignas(LINE) _Atomic uint32_t serving;
} ticket;

static void
ticket_enter(void)
{
    uint32_t mine = atomic_fetch_add_explicit(&ticket.next, 1, memory_order_relaxed);
    /* Acquire: pairs with the release in ticket_leave, so that what the last holder wrote shows. */
    while (atomic_load_explicit(&ticket.serving, memory_order_acquire) != mine) {
        relax();
    }
}

static void
ticket_leave(void)
{
    uint32_t now = atomic_load_explicit(&ticket.serving, memory_order_relaxed);
    atomic_store_explicit(&ticket.serving, now + 1, memory_order_release);
}

static void
ticket_run(struct work_thread *t)
{
    ticket_enter();
    bench_section(t);
    ticket_leave();
}

const struct bench_lock bench_lock_ticket = {.name = "ticket", .run = ticket_run, .spins = true};

/* --- MCS ---------------------------------------------------------------------------------------*/

struct mcs_node {
    _Alignas(LINE) _Atomic(struct mcs_node *) next;
    _Atomic bool waits;
};

static _Alignas(LINE) _Atomic(struct mcs_node *) mcs_tail;
static _Thread_local struct mcs_node mcs_mine;

static void
mcs_enter(void)
{
    atomic_store_explicit(&mcs_mine.next, NULL, memory_order_relaxed);
    atomic_store_explicit(&mcs_mine.waits, true, memory_order_relaxed);
    /* Release publishes the node to the successor, acquire sees the predecessor's. */
    struct mcs_node *before = atomic_exchange_explicit(&mcs_tail, &mcs_mine, memory_order_acq_rel);
    if (before == NULL) {
        return;
    }
    atomic_store_explicit(&before->next, &mcs_mine, memory_order_release);
    /* Acquire: pairs with the hand-over in mcs_leave. */
    while (atomic_load_explicit(&mcs_mine.waits, memory_order_acquire)) {
        relax();
    }
}

static void
mcs_leave(void)
{
    /* Acquire: pairs with the successor's release of its node. */
    struct mcs_node *after = atomic_load_explicit(&mcs_mine.next, memory_order_acquire);
    if (after == NULL) {
        struct mcs_node *expected = &mcs_mine;
        if (atomic_compare_exchange_strong_explicit(&mcs_tail, &expected, NULL,
                                                    memory_order_release, memory_order_relaxed)) {
            return;
        }
        while ((after = atomic_load_explicit(&mcs_mine.next, memory_order_acquire)) == NULL) {
            relax();
        }
    }
    atomic_store_explicit(&after->waits, false, memory_order_release);
}

static void
mcs_run(struct work_thread *t)
{
    mcs_enter();
    bench_section(t);
    mcs_leave();
}

const struct bench_lock bench_lock_mcs = {.name = "mcs", .run = mcs_run, .spins = true};

/* --- CPython's GIL, its behaviour --------------------------------------------------------------*/

/* A flag under a mutex and a condition. A thread keeps the lock from section to section. A waiter
 * whose switch interval is over asks for it; the holder looks at that request after each section,
 * as the interpreter does at its eval breaker, and having let go on request it waits until somebody
 * else has had the lock. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t free;
    pthread_cond_t switched;
    bool held;
    unsigned long switches;
    const void *last_holder;
    _Atomic bool request; /* read without the mutex, as a hint */
} gil = {.mutex = PTHREAD_MUTEX_INITIALIZER,
         .free = PTHREAD_COND_INITIALIZER,
         .switched = PTHREAD_COND_INITIALIZER};

enum { GIL_INTERVAL = 5 * 1000 * 1000 }; /* ns; CPython's default */
static _Thread_local bool gil_mine;

static void
gil_deadline(struct timespec *until)
{
    clock_gettime(CLOCK_REALTIME, until);
    until->tv_nsec += GIL_INTERVAL;
    until->tv_sec += until->tv_nsec / 1000000000;
    until->tv_nsec %= 1000000000;
}

static void
gil_enter(void)
{
    if (gil_mine) {
        return;
    }
    pthread_mutex_lock(&gil.mutex);
    while (gil.held) {
        struct timespec until;
        unsigned long seen = gil.switches;
        gil_deadline(&until);
        if (pthread_cond_timedwait(&gil.free, &gil.mutex, &until) == ETIMEDOUT && gil.held &&
            gil.switches == seen) {
            atomic_store_explicit(&gil.request, true, memory_order_relaxed);
        }
    }
    gil.held = true;
    gil_mine = true;
    if (gil.last_holder != &gil_mine) {
        gil.last_holder = &gil_mine;
        gil.switches++;
    }
    atomic_store_explicit(&gil.request, false, memory_order_relaxed);
    pthread_cond_signal(&gil.switched);
    pthread_mutex_unlock(&gil.mutex);
}

static void
gil_drop(bool requested)
{
    pthread_mutex_lock(&gil.mutex);
    gil.held = false;
    gil_mine = false;
    pthread_cond_signal(&gil.free);
    while (requested && gil.last_holder == &gil_mine) {
        pthread_cond_wait(&gil.switched, &gil.mutex);
    }
    pthread_mutex_unlock(&gil.mutex);
}

static void
gil_leave(void)
{
    if (atomic_load_explicit(&gil.request, memory_order_relaxed)) {
        gil_drop(true);
    }
}

static void
gil_detach(void)
{
    if (gil_mine) {
        gil_drop(false);
    }
}

static void
gil_run(struct work_thread *t)
{
    gil_enter();
    bench_section(t);
    gil_leave();
}

const struct bench_lock bench_lock_gil = {.name = "gil", .run = gil_run, .detach = gil_detach};
