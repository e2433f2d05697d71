/* SPDX-License-Identifier: MIT
 *
 * Random calls on several locks by several threads: sections inside each other, left in any order,
 * tried, cut, made irrevocable, interrupted by handlers that enter sections; switches, forks. Each
 * thread knows what it is inside of, and what a lock guards says who is.
 *
 *     nested [SEED [ROUNDS [unlocked]]]     unlocked: one lock is not taken, which must be noticed
 *
 * Exit status: 0 nothing wrong seen, 1 something, 2 usage.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elision/elision.h"

enum { THREADS = 5, LOCKS = 6, SITES = 4, KEYS = 3000 };

struct thread {
    uint32_t random;
    bool inside[LOCKS];
    long entered[LOCKS];
};

static struct {
    elision_lock_t lock;
    const struct thread *owner; /* who is inside */
    long entered;
} guarded[LOCKS];

static elision_site_t sites[SITES];
static elision_lock_t handlers_lock;
static elision_site_t handlers_site = ELISION_SITE_INIT("handler");
static _Atomic unsigned wrong;
static unsigned rounds = 2000;
static bool unlocked;

static uint32_t
below(struct thread *self, uint32_t n)
{
    self->random ^= self->random << 13;
    self->random ^= self->random >> 17;
    self->random ^= self->random << 5;
    return self->random % n;
}

static void
must(bool right)
{
    if (!right) {
        atomic_fetch_add(&wrong, 1);
    }
}

static elision_site_t *
some_site(struct thread *self)
{
    /* More keys than sites that have state of their own. */
    return below(self, 8) == 0 ? elision_site_dynamic(1 + below(self, KEYS), "dynamic")
                               : &sites[below(self, SITES)];
}

static int
depth_of(const struct thread *self)
{
    int depth = 0;

    for (int i = 0; i < LOCKS; i++) {
        depth += self->inside[i];
    }
    return depth;
}

/* ret:   a lock this thread is inside, or -1 */
static int
some_inside(struct thread *self)
{
    for (int i = 0, start = (int)below(self, LOCKS); i < LOCKS; i++) {
        if (self->inside[(start + i) % LOCKS]) {
            return (start + i) % LOCKS;
        }
    }
    return -1;
}

/* --- What a thread may do ----------------------------------------------------------------------*/

/* In one order, or threads would wait for each other. */
static void
enter_one(struct thread *self)
{
    int i = (int)below(self, LOCKS);
    enum elision_path path = ELISION_LOCKED;

    for (int after = i; after < LOCKS; after++) {
        if (self->inside[after]) {
            return;
        }
    }
    switch (unlocked && i == 0 ? 4 : below(self, 4)) {
    case 0: path = elision_try_enter(&guarded[i].lock, some_site(self)); break;
    case 1:
        if (depth_of(self) == 0) {
            path = elision_enter_speculative(&guarded[i].lock, some_site(self));
            break;
        } /* fall through */
    case 2: path = elision_enter(&guarded[i].lock, some_site(self)); break;
    case 3: path = elision_enter_alone(&guarded[i].lock, some_site(self)); break;
    default: break;
    }
    if (path != ELISION_BUSY) {
        must(guarded[i].owner == NULL);
        guarded[i].owner = self;
        guarded[i].entered++;
        self->entered[i]++;
        self->inside[i] = true;
    }
}

static void
leave_one(struct thread *self)
{
    int i = some_inside(self);

    if (i < 0) {
        return;
    }
    must(guarded[i].owner == self);
    guarded[i].owner = NULL;
    self->inside[i] = false;
    if (!unlocked || i != 0) {
        elision_leave(&guarded[i].lock);
    }
}

static void
cut(struct thread *self)
{
    int i = some_inside(self);

    if (depth_of(self) != 1 || (unlocked && i == 0)) {
        return;
    }
    guarded[i].owner = NULL;
    must((below(self, 2) == 0 ? elision_checkpoint : elision_checkpoint_now)(
             &guarded[i].lock, some_site(self)) != ELISION_BUSY);
    must(guarded[i].owner == NULL);
    guarded[i].owner = self;
}

static void
cannot_be_undone(struct thread *self)
{
    int i = some_inside(self);

    if (i < 0 || (unlocked && i == 0)) {
        (void)getppid();
        return;
    }
    elision_irrevocable(&guarded[i].lock);
    must(!elision_is_speculative());
}

static void
ask(struct thread *self)
{
    struct elision_stats stats;

    for (int i = unlocked; i < LOCKS; i++) {
        must(elision_is_inside(&guarded[i].lock) == self->inside[i]);
    }
    if (depth_of(self) > 0) {
        return;
    }
    must(!elision_is_speculative());
    must(elision_section_conflicts() == 0);
    must(elision_section_length(some_site(self)) > 0);
    elision_progress(3);
    (void)elision_prefers_lock(&guarded[0].lock, some_site(self));
    elision_stats(&stats);
    for (int reason = 0; reason < ELISION_ABORT_REASONS; reason++) {
        stats.starts -= stats.aborts[reason];
    }
    must(stats.starts == stats.commits);
}

static void
switch_something(struct thread *self)
{
    elision_set_enabled(below(self, 4) != 0);
    elision_set_concurrency(below(self, 4));
    elision_set_switch_interval(&guarded[below(self, LOCKS)].lock, below(self, 3) * 100000);
}

static void
fork_one(void)
{
    static elision_lock_t fresh;
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
        for (int i = 0; i < 50; i++) {
            (void)elision_enter(&fresh, &sites[i % SITES]);
            elision_leave(&fresh);
        }
        _exit(fresh.word_ != 0);
    }
    while (waitpid(child, &status, 0) < 0) { /* a signal came */
    }
    must(status == 0);
}

/* --- Threads and signals -----------------------------------------------------------------------*/

static void
on_signal(int signal)
{
    (void)signal;
    if (elision_try_enter(&handlers_lock, &handlers_site) != ELISION_BUSY) {
        elision_leave(&handlers_lock);
    }
}

static void *
run(void *arg)
{
    struct thread *self = arg;

    for (unsigned round = 0; round < rounds; round++) {
        uint32_t what = below(self, 1000);
        if (what < 400) {
            enter_one(self);
        }
        else if (what < 800) {
            leave_one(self);
        }
        else if (what < 880) {
            cut(self);
        }
        else if (what < 900) {
            cannot_be_undone(self);
        }
        else if (what < 990 || depth_of(self) > 0) {
            ask(self);
        }
        else if (what < 998) {
            switch_something(self);
        }
        else {
            fork_one();
        }
    }
    while (depth_of(self) > 0) {
        leave_one(self);
    }
    return NULL;
}

static void
check_sums(const struct thread *threads)
{
    for (int i = 0; i < LOCKS; i++) {
        long entered = 0;
        for (int t = 0; t < THREADS; t++) {
            entered += threads[t].entered[i];
        }
        must(entered == guarded[i].entered && entered > 0);
        must(guarded[i].lock.word_ == 0 && guarded[i].owner == NULL);
    }
}

int
main(int argc, char **argv)
{
    static struct thread threads[THREADS];
    pthread_t ids[THREADS];
    uint32_t seed = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1;
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    const struct itimerval often = {{0, 70}, {0, 70}}, never = {{0, 0}, {0, 0}};

    rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : rounds;
    unlocked = argc > 3 && strcmp(argv[3], "unlocked") == 0;
    if (argc > 4 || (argc > 3 && !unlocked) || rounds == 0) {
        fputs("usage: nested [SEED [ROUNDS [unlocked]]]\n", stderr);
        return 2;
    }
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i].random = (seed * THREADS + i) * 0x9e3779b9u | 1;
        pthread_create(&ids[i], NULL, run, &threads[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(ids[i], NULL);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    check_sums(threads);
    struct elision_stats stats;
    elision_stats(&stats);
    printf("# nested: seed %u, %lu commits, %lu locked\n", seed, (unsigned long)stats.commits,
           (unsigned long)stats.locked);
    if (atomic_load(&wrong) != 0) {
        printf("stress: %u wrong\n", atomic_load(&wrong));
        return 1;
    }
    return 0;
}
