/* SPDX-License-Identifier: MIT */
/* What single steps cost: the suite cost. */
#define _GNU_SOURCE
#include "bench/suites.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "elision/tx.h"

enum { BATCH = 64 };

static elision_lock_t cost_lock = ELISION_LOCK_INIT;
static elision_site_t cost_site = ELISION_SITE_INIT("cost");

static void
set_up_elision(int count, void *arg)
{
    (void)count;
    elision_set_enabled(arg != NULL);
    elision_set_concurrency(arg != NULL ? 2 : 0);
}

static void
tear_down_elision(int count, void *arg)
{
    (void)count, (void)arg;
    elision_set_concurrency(0);
}

/* What is to be elided must have been. */
static void
judge(struct bench *b, const void *elided, const struct elision_stats *before)
{
    struct elision_stats now;
    elision_stats(&now);
    if (elided != NULL && now.commits == before->commits) {
        bench_fail(b, "no section was run by a transaction although transactions work here");
    }
}

static void
run_pair(struct bench *b, void *arg)
{
    struct elision_stats before;
    elision_stats(&before);
    while (bench_next(b, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            elision_enter(&cost_lock, &cost_site);
            elision_leave(&cost_lock);
        }
    }
    judge(b, arg, &before);
}

/* The same of glibc's mutex, to compare with. */
static void
run_pthread_pair(struct bench *b, void *arg)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    (void)arg;
    while (bench_next(b, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            pthread_mutex_lock(&mutex);
            pthread_mutex_unlock(&mutex);
        }
    }
}

static void
run_checkpoint(struct bench *b, void *arg)
{
    struct elision_stats before;
    elision_stats(&before);
    while (bench_next(b, BATCH)) {
        elision_enter(&cost_lock, &cost_site);
        for (int i = 0; i < BATCH; i++) {
            elision_checkpoint(&cost_lock, &cost_site);
        }
        elision_leave(&cost_lock);
    }
    judge(b, arg, &before);
}

static ELISION_TX void
run_commit(struct bench *b, void *arg)
{
    uint64_t commits = 0;
    (void)arg;
    while (bench_next(b, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            if (elision_tx_begin_() == ELISION_TX_STARTED) {
                elision_tx_commit_();
                commits++;
            }
        }
    }
    bench_counter(b, "commits", (double)commits, BENCH_SUM);
    if (commits == 0) {
        bench_fail(b, "no transaction committed");
    }
}

/* --- Aborts by cause ---------------------------------------------------------------------------*/

/* What makes a transaction abort, and the status bits that say so. Conflicts need a second thread:
 * run_conflict. */
struct cause {
    const char *name;
    void (*provoke)(void); /* inside the transaction; does not come back on hardware */
    uint32_t bits;         /* exactly these, apart from RETRY and the code */
};

enum { TOO_MANY = 2048, LINE = 64 };
static _Alignas(4096) volatile char too_much[TOO_MANY * LINE];
static volatile char *forbidden; /* a page that cannot be read */

static ELISION_TX void
by_code(void)
{
    elision_tx_abort_(1);
}

static ELISION_TX void
by_code_nested(void)
{
    if (elision_tx_begin_() == ELISION_TX_STARTED) {
        elision_tx_abort_(1);
    }
}

static void
by_capacity(void)
{
    for (size_t i = 0; i < sizeof too_much; i += LINE) {
        too_much[i] = 1;
    }
}

static void
by_system_call(void)
{
    syscall(SYS_gettid);
}

static void
by_fault(void)
{
    (void)*forbidden;
}

static const struct cause causes[] = {
    {"cost/abort-explicit/speculative", by_code, ELISION_TX_EXPLICIT},
    {"cost/abort-nested/speculative", by_code_nested, ELISION_TX_EXPLICIT | ELISION_TX_NESTED},
    {"cost/abort-capacity/speculative", by_capacity, ELISION_TX_CAPACITY},
    {"cost/abort-system-call/speculative", by_system_call, 0},
    {"cost/abort-fault/speculative", by_fault, 0},
};

static void
set_up_abort(int count, void *arg)
{
    const struct cause *cause = arg;
    (void)count;
    if (forbidden == NULL) {
        void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        forbidden = page != MAP_FAILED ? page : NULL;
    }
    if (cause->provoke == by_capacity) {
        by_capacity(); /* so that no page is touched for the first time */
    }
}

static ELISION_TX void
run_abort(struct bench *b, void *arg)
{
    const struct cause *cause = arg;
    uint64_t aborts = 0;
    uint64_t others = 0;
    while (bench_next(b, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            uint32_t status = elision_tx_begin_();
            if (status == ELISION_TX_STARTED) {
                cause->provoke();
                elision_tx_commit_();
            }
            if ((status & ~ELISION_TX_RETRY & 0xff) == cause->bits) {
                aborts++;
            }
            else {
                others++;
            }
        }
    }
    bench_counter(b, "aborts", (double)aborts, BENCH_SUM);
    bench_counter(b, "other_outcomes", (double)others, BENCH_SUM);
    if (aborts == 0) {
        bench_fail(b, "no transaction aborted for the cause that is measured");
    }
}

/* The second thread writes a line all the time that the first one's transaction reads until that
 * aborts it. A round is begin, the wait for one write, and the abort; with more of a wait when the
 * other side is slower, so compare like with like. */
static struct {
    _Alignas(2 * LINE) volatile uint64_t contested;
    _Alignas(2 * LINE) _Atomic uint64_t done; /* rounds of the first thread; release: none */
} duel;

static void
set_up_conflict(int count, void *arg)
{
    (void)count, (void)arg;
    duel.done = 0;
}

static void
write_until_done(struct bench *b)
{
    uint64_t rounds = 0;
    while (bench_next(b, BATCH)) {
        rounds += BATCH;
        while (duel.done < rounds) {
            duel.contested++;
        }
    }
}

static ELISION_TX void
run_conflict(struct bench *b, void *arg)
{
    enum { READS = 100000 }; /* far more than any write takes */
    uint64_t aborts = 0;
    uint64_t others = 0;
    (void)arg;
    if (bench_thread(b) == 1) {
        write_until_done(b);
        return;
    }
    while (bench_next(b, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            uint32_t status = elision_tx_begin_();
            if (status == ELISION_TX_STARTED) {
                for (int reads = 0; reads < READS; reads++) {
                    (void)duel.contested;
                }
                elision_tx_commit_();
            }
            if ((status & ~ELISION_TX_RETRY & 0xff) == ELISION_TX_CONFLICT) {
                aborts++;
            }
            else {
                others++;
            }
            duel.done++;
        }
    }
    bench_counter(b, "aborts", (double)aborts, BENCH_SUM);
    bench_counter(b, "other_outcomes", (double)others, BENCH_SUM);
    if (aborts == 0) {
        bench_fail(b, "no transaction aborted by conflict");
    }
}

static void
register_cost(const char *name, void (*run)(struct bench *, void *), bool elided)
{
    static char on;
    bench_register(&(struct bench_spec){.name = name,
                                        .run = run,
                                        .set_up = set_up_elision,
                                        .tear_down = tear_down_elision,
                                        .arg = elided ? &on : NULL});
}

void
bench_suite_cost(void)
{
    static const int one[] = {1, 0};
    static const int two[] = {2, 0};
    static const struct bench_lock *const locks[] = {&bench_lock_plain, &bench_lock_pthread,
                                                     &bench_lock_ticket, &bench_lock_mcs};
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++) {
        bench_pairing("cost", bench_work("empty"), locks[i], locks[i]->name, one);
    }
    register_cost("cost/pair/locked", run_pair, false);
    register_cost("cost/pair/pthread", run_pthread_pair, false);
    register_cost("cost/checkpoint/locked", run_checkpoint, false);
    if (!elision_verdict()->can_elide) {
        bench_skip("cost/.../speculative", "no transactions on this machine");
        return;
    }
    register_cost("cost/pair/speculative", run_pair, true);
    register_cost("cost/checkpoint/speculative", run_checkpoint, true);
    register_cost("cost/begin-commit/speculative", run_commit, true);
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++) {
        bench_register(&(struct bench_spec){.name = causes[i].name,
                                            .run = run_abort,
                                            .set_up = set_up_abort,
                                            .arg = (void *)&causes[i]});
    }
    bench_register(&(struct bench_spec){.name = "cost/abort-conflict/speculative",
                                        .run = run_conflict,
                                        .set_up = set_up_conflict,
                                        .threads = two});
}
