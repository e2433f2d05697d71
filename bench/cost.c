/* SPDX-License-Identifier: MIT */
/* What single steps cost: the suite cost. */
#include "bench/suites.h"
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

static void
run_pair(struct bench *b, void *arg)
{
    (void)arg;
    while (bench_next(b, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            elision_enter(&cost_lock, &cost_site);
            elision_leave(&cost_lock);
        }
    }
}

static void
run_checkpoint(struct bench *b, void *arg)
{
    (void)arg;
    while (bench_next(b, BATCH)) {
        elision_enter(&cost_lock, &cost_site);
        for (int i = 0; i < BATCH; i++) {
            elision_checkpoint(&cost_lock, &cost_site);
        }
        elision_leave(&cost_lock);
    }
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

static ELISION_TX void
run_abort(struct bench *b, void *arg)
{
    uint64_t aborts = 0;
    (void)arg;
    while (bench_next(b, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            uint32_t status = elision_tx_begin_();
            if (status == ELISION_TX_STARTED) {
                elision_tx_abort_(1);
            }
            aborts += (status & ELISION_TX_EXPLICIT) != 0;
        }
    }
    bench_counter(b, "aborts", (double)aborts, BENCH_SUM);
    if (aborts == 0) {
        bench_fail(b, "no transaction aborted");
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
    static const struct bench_lock *const locks[] = {&bench_lock_plain, &bench_lock_pthread,
                                                     &bench_lock_ticket, &bench_lock_mcs};
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++) {
        bench_pairing("cost", bench_work("empty"), locks[i], locks[i]->name, one);
    }
    register_cost("cost/pair/locked", run_pair, false);
    register_cost("cost/checkpoint/locked", run_checkpoint, false);
    if (!elision_verdict()->can_elide) {
        bench_skip("cost/.../speculative", "no transactions on this machine");
        return;
    }
    register_cost("cost/pair/speculative", run_pair, true);
    register_cost("cost/checkpoint/speculative", run_checkpoint, true);
    register_cost("cost/begin-commit/speculative", run_commit, true);
    register_cost("cost/begin-abort/speculative", run_abort, true);
}
