/* SPDX-License-Identifier: MIT
 *
 * A small interpreter whose threads share one global lock, put on libelision. embedding.md beside
 * this file explains it piece by piece; the pieces there are taken from here, word for word.
 *
 *     embedding [THREADS [ROUNDS]]
 *
 * Each thread runs the same code on registers of its own; now and then the code calls a native
 * function that updates two globals and knows nothing of threads. The exit status is 1 if an update
 * was lost, 2 for bad use.
 */
#define _POSIX_C_SOURCE 200809L

#include "elision/elision.h"
#include "rtmgrind/rtmgrind.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { REGISTERS = 4, TALLY_EVERY = 256, THREADS_MAX = 64, ROUNDS_MAX = 1000000 };

enum opcode { OP_MIX, OP_UNLESS_MULTIPLE, OP_CALL, OP_COUNT_DOWN, OP_PRINT, OP_END };

/* An instruction: registers a and b, a constant or a target. */
struct op {
    enum opcode code;
    int a, b;
    long arg;
};

struct thread {
    _Alignas(64) uint64_t r[REGISTERS]; /* lines of its own: see "What conflicts" */
    const struct op *pc;
    elision_site_t *site; /* where the section this thread is in began */
    unsigned granted;     /* checkpoints it was given */
    unsigned budget;      /* of which are left */
    pthread_t id;
    int number;
};

/* --- The global lock -------------------------------------------------------------------------- */

static elision_lock_t global_lock = ELISION_LOCK_INIT;

static void
section_begins(struct thread *t)
{
    elision_site_t *site = elision_site_dynamic((uintptr_t)t->pc, "op");
    elision_enter(&global_lock, site);
    t->site = site;
    t->granted = t->budget = elision_section_length(site);
}

static void
section_ends(struct thread *t)
{
    unsigned done = t->granted - t->budget;
    elision_leave(&global_lock);
    elision_progress(done);
}

/* At each backward branch: nothing is half done here, and other threads may run. */
static void
checkpoint(struct thread *t)
{
    if (--t->budget > 0) {
        return;
    }
    if (!elision_is_speculative() && elision_prefers_lock(&global_lock, t->site) &&
        !elision_handover_pending(&global_lock)) {
        elision_progress(t->granted);
        t->budget = t->granted;
        return;
    }
    section_ends(t);
    section_begins(t);
}

/* --- What a program calls --------------------------------------------------------------------- */

static uint64_t
plus_digits(uint64_t sum, uint64_t value)
{
    for (; value > 0; value /= 10) {
        sum += value % 10;
    }
    return sum;
}

/* A native module that relies on the global lock: two globals that must agree. */
static uint64_t tally_sum, tally_calls;

static void
tally(uint64_t value)
{
    tally_sum = plus_digits(tally_sum, value);
    ++tally_calls;
}

/* Waits or writes, so it lets go of the lock, as it always had to. */
static void
print(struct thread *t, uint64_t value)
{
    section_ends(t);
    printf("thread %d: %016llx\n", t->number, (unsigned long long)value);
    section_begins(t);
}

/* --- The interpreter -------------------------------------------------------------------------- */

/* r0 counts down, r1 is mixed in each round and now and then tallied, in r2 and globally. */
static const struct op code[] = {
    {OP_MIX, 1, 0, 0},   {OP_UNLESS_MULTIPLE, 0, 0, TALLY_EVERY},
    {OP_CALL, 1, 2, 0},  {OP_COUNT_DOWN, 0, 0, -3},
    {OP_PRINT, 1, 0, 0}, {OP_END, 0, 0, 0},
};

static void
interpret(struct thread *t)
{
    for (t->pc = code;; ++t->pc) {
        const struct op *op = t->pc;
        switch (op->code) {
        case OP_MIX:
            t->r[op->a] = (t->r[op->a] ^ t->r[op->b]) * UINT64_C(0x9e3779b97f4a7c15);
            break;
        case OP_UNLESS_MULTIPLE: t->pc += t->r[op->a] % (uint64_t)op->arg != 0; break;
        case OP_CALL:
            tally(t->r[op->a]);
            t->r[op->b] = plus_digits(t->r[op->b], t->r[op->a]);
            break;
        case OP_COUNT_DOWN:
            if (--t->r[op->a] > 0) {
                t->pc += op->arg - 1;
                checkpoint(t);
            }
            break;
        case OP_PRINT: print(t, t->r[op->a]); break;
        case OP_END: return;
        }
    }
}

static void *
run(void *arg)
{
    struct thread *t = arg;
    t->pc = code;
    RTMGRIND_LABEL_PUSH("interpret");
    section_begins(t);
    interpret(t);
    section_ends(t);
    RTMGRIND_LABEL_POP();
    return NULL;
}

/* --- The program ------------------------------------------------------------------------------ */

static double
milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static long
argument(const char *text, const char *what, long max)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end != '\0' || value < 1 || value > max) {
        fprintf(stderr, "embedding: %s is 1 to %ld, not '%s'\n", what, max, text);
        exit(2);
    }
    return value;
}

static void
report(long threads, double ms)
{
    struct elision_stats s;
    elision_stats(&s);
    printf("%ld threads, %.2f ms, %s: %llu transactions, %.1f %% committed; %llu sections held "
           "the lock\n",
           threads, ms, elision_verdict()->can_elide ? "elided" : "not elided",
           (unsigned long long)s.starts,
           s.starts == 0 ? 0.0 : 100.0 * (double)s.commits / (double)s.starts,
           (unsigned long long)s.locked);
}

int
main(int argc, char **argv)
{
    static struct thread threads[THREADS_MAX];
    long n = argc > 1 ? argument(argv[1], "THREADS", THREADS_MAX) : 4;
    long rounds = argc > 2 ? argument(argv[2], "ROUNDS", ROUNDS_MAX) : 20000;
    double begin = milliseconds();
    for (int i = 0; i < n; i++) {
        threads[i] = (struct thread){.r = {(uint64_t)rounds, (uint64_t)i}, .number = i};
        if (pthread_create(&threads[i].id, NULL, run, &threads[i]) != 0) {
            fprintf(stderr, "embedding: no thread %d\n", i);
            exit(2);
        }
    }
    uint64_t sum = 0;
    for (int i = 0; i < n; i++) {
        pthread_join(threads[i].id, NULL);
        sum += threads[i].r[2];
    }
    report(n, milliseconds() - begin);
    if (tally_sum != sum || tally_calls != (uint64_t)(n * (rounds / TALLY_EVERY))) {
        printf("updates were lost\n");
        return 1;
    }
    printf("tally exact\n");
    return 0;
}
