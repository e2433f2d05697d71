/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "elision/core_priv.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <time.h>
#endif
#include <unistd.h>

#include "probes/step.h"

/* Being inside sends every fast path of a thread without a record to the slow path. Read only. */
struct elision_thread elision_nobody_ = {.inside = ELISION_INSIDE};

_Thread_local struct elision_thread *elision_self_ = &elision_nobody_;

uint32_t elision_off_ ELISION_ALIGNED = 1;
uint32_t elision_off_cut_;

/* Recursive: a program may call the fork hooks itself before fork() calls them again, and a handler
 * of a signal may enter a section while its thread is in one of them, or ends. */
static pthread_mutex_t registry;
static _Atomic(struct elision_thread *) first; /* newest record; written under registry */
static _Atomic uint32_t records;               /* ids given; written under registry */
static _Atomic uint32_t alive;                 /* written under registry */
static _Atomic uint64_t threads_seen;          /* written under registry */
static pthread_key_t exit_key;
static bool exit_key_made;

#if !defined(__x86_64__)
uint64_t
elision_cycles_(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
#endif

static bool
should_speculate(void)
{
    unsigned concurrency = atomic_load(&elision_concurrency_);

    if (concurrency == 0) {
        concurrency = atomic_load(&alive);
    }
    return elision_verdict_.can_elide && concurrency > 1 && atomic_load(&elision_enabled_);
}

void
elision_thread_update_(void)
{
    bool speculate;

    /* [E.SW] Again, if another thread has switched meanwhile and found nothing to change yet. */
    do {
        speculate = should_speculate();
        /* Only a change is written: the line is in every transaction's read set. */
        if (speculate != (__atomic_load_n(&elision_off_, __ATOMIC_SEQ_CST) == 0)) {
            ELISION_STEP("update: write");
            __atomic_store_n(&elision_off_, !speculate, __ATOMIC_SEQ_CST); /* [E.SO] */
            elision_sites_update_();
        }
    } while (speculate != should_speculate());
}

void
elision_thread_init_(void)
{
    pthread_mutexattr_t recursive;

    (void)pthread_mutexattr_init(&recursive);
    (void)pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    (void)pthread_mutex_init(&registry, &recursive);
    (void)pthread_mutexattr_destroy(&recursive);
}

/* Runs at thread exit. */
static void
thread_exits(void *record)
{
    struct elision_thread *self = record;

    elision_account_(self);
    /* Before others may have the record: from here on a signal's handler, and destructors that run
     * after this one, register anew when they enter a section. */
    elision_self_ = &elision_nobody_;
    if (self->inside != 0) {
        dprintf(STDERR_FILENO,
                "libelision: thread %u ended inside a section; its lock stays held\n", self->id);
    }
    pthread_mutex_lock(&registry);
    /* A record with a lock keeps its id for ever, since the lock's word has it. */
    self->alive = self->inside != 0;
    atomic_fetch_sub(&alive, 1);
    elision_thread_update_();
    pthread_mutex_unlock(&registry);
    ELISION_STEP("exit: given back");
}

static struct elision_thread *
make_record(void)
{
    size_t size =
        sizeof(struct elision_thread) + (ELISION_SITES_MAX + 1) * sizeof(struct elision_site_state);
    struct elision_thread *record = mmap(NULL, size, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (record == MAP_FAILED) {
        dprintf(STDERR_FILENO, "libelision: no memory for a thread's record (%zu bytes)\n", size);
        abort();
    }
    record->id = atomic_load_explicit(&records, memory_order_relaxed) + 1;
    record->next = atomic_load_explicit(&first, memory_order_relaxed);
    atomic_store_explicit(&records, record->id, memory_order_relaxed);
    /* [E.T] pairs with elision_thread_first_: a reader sees id and next set. */
    atomic_store_explicit(&first, record, memory_order_release);
    return record;
}

struct elision_thread *
elision_thread_register_(void)
{
    int saved = errno;
    sigset_t all, before;

    elision_init_();
    /* A handler that enters a section meanwhile would take the same record, or the same id. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&registry);
    if (!exit_key_made) {
        exit_key_made = pthread_key_create(&exit_key, thread_exits) == 0;
    }
    struct elision_thread *record = atomic_load_explicit(&first, memory_order_relaxed);
    while (record != NULL && record->alive) {
        record = record->next;
    }
    if (record == NULL) {
        record = make_record();
    }
    ELISION_STEP("register: chosen");
    record->alive = true;
    record->sample = ELISION_SAMPLE;
    record->wants_lock = NULL;
    atomic_fetch_add(&alive, 1);
    atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed);
    elision_self_ = record;
    elision_thread_update_();
    pthread_mutex_unlock(&registry);
    /* Without a key the record is never reused, and the thread counts as alive for ever. */
    if (exit_key_made) {
        (void)pthread_setspecific(exit_key, record);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return record;
}

struct elision_thread *
elision_thread_first_(void)
{
    return atomic_load_explicit(&first, memory_order_acquire); /* [E.T] */
}

uint64_t
elision_thread_count_(void)
{
    return atomic_load_explicit(&threads_seen, memory_order_relaxed);
}

void
elision_thread_prepare_fork_(void)
{
    pthread_mutex_lock(&registry);
}

void
elision_thread_parent_forked_(void)
{
    pthread_mutex_unlock(&registry);
}

/* What is gone was perhaps about to change its counts: readers must not wait for it to be done. */
static void
end_counting(struct elision_thread *gone)
{
    for (uint32_t i = 0; i <= elision_site_count_(); i++) {
        struct elision_site_state *state = &gone->states[i];
        uint32_t version = atomic_load_explicit(&state->version, memory_order_relaxed);
        if (version & 1) {
            atomic_store_explicit(&state->granted,
                                  atomic_load_explicit(&state->credit, memory_order_relaxed),
                                  memory_order_relaxed);
            atomic_store_explicit(&state->version, version + 1, memory_order_release); /* [E.V] */
        }
    }
}

/* Nor can it release the auxiliary lock, and no section depends on that. */
static void
release_aux(struct elision_thread *gone)
{
    for (uint32_t i = 0; i < gone->depth; i++) {
        struct elision_fallback *aux = gone->sections[i].aux;
        if (aux != NULL) {
            atomic_store_explicit(&aux->word, 0, memory_order_relaxed);
            gone->sections[i].aux = NULL;
        }
    }
}

void
elision_thread_child_forked_(void)
{
    struct elision_thread *self = elision_self_;

    /* The prepare hook has taken it. That may be refused, since a thread's id in the child is
     * another, hence the new one; but a mutex that is held must not be made anew. */
    (void)pthread_mutex_unlock(&registry);
    elision_thread_init_();
    for (struct elision_thread *at = elision_thread_first_(); at != NULL; at = at->next) {
        /* A thread that was inside a section left a lock behind that bears its id. */
        at->alive = at == self || at->inside != 0;
        if (at != self) {
            end_counting(at);
            release_aux(at);
        }
    }
    atomic_store(&alive, self != &elision_nobody_);
    elision_thread_update_();
}
