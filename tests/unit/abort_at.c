/* SPDX-License-Identifier: MIT
 *
 * One short work of a kind, for rtmgrind --abort-at=N. Exit status: 0 if all was done once, and, if
 * nothing aborted that should not, in the transactions it is about; then it prints "undisturbed".
 * Each kind goes through enter and leave: those with credit by the fast path.
 */
#include <stdio.h>
#include <string.h>

#include "elision/section_priv.h"

static elision_lock_t lock, other;
static elision_site_t site = ELISION_SITE_INIT("abort-at");
static long value;
static unsigned fast; /* enters that had what takes the fast path */

static void
enter(void)
{
    fast += elision_state_of_(elision_self_, &site)->credit != 0 && elision_site_off_(&site) == 0;
    (void)elision_enter(&lock, &site);
}

static void
nested(void)
{
    enter();
    (void)elision_enter(&other, &site);
    value++;
    elision_leave(&other);
    elision_leave(&lock);
}

/* The second one is where the section is cut: the script says how long it is. */
static void
checkpoints(void)
{
    enter();
    (void)elision_checkpoint(&lock, &site);
    (void)elision_checkpoint(&lock, &site);
    value++;
    elision_leave(&lock);
}

static void
checkpoint_now(void)
{
    enter();
    (void)elision_checkpoint(&lock, &site);
    (void)elision_checkpoint_now(&lock, &site);
    value++;
    elision_leave(&lock);
}

static void
irrevocable(void)
{
    enter();
    elision_irrevocable(&lock);
    value++;
    elision_leave(&lock);
}

/* What an undisturbed run comes to. */
static const struct kind {
    const char *name;
    void (*run)(void);
    uint32_t credit; /* 0: the first enter asks the policy */
    unsigned fast, commits, irrevocable, cuts;
} kinds[] = {
    {"fast-nested", nested, 8, 1, 1, 0, 0},
    {"checkpoint", checkpoints, 0, 0, 2, 0, 1},
    {"fast-checkpoint-now", checkpoint_now, 8, 1, 2, 0, 1},
    {"irrevocable", irrevocable, 0, 0, 0, 1, 0},
    {"fast-irrevocable", irrevocable, 8, 1, 0, 1, 0},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Give the thread and the site their records, with the lock, so that nothing of this is in a
 * transaction; and as much credit as the kind begins with. */
static void
prepare(const struct kind *kind)
{
    elision_set_concurrency(1);
    (void)elision_enter(&lock, &site);
    elision_leave(&lock);
    elision_set_concurrency(2);
    elision_set_credit_(elision_state_of_(elision_self_, &site), kind->credit, 0);
}

static int
check(const struct kind *kind)
{
    struct elision_stats stats;
    uint64_t aborts = 0;

    elision_stats(&stats);
    for (int i = 0; i < ELISION_ABORT_REASONS; i++) {
        aborts += stats.aborts[i];
    }
    uint64_t injected = aborts - stats.aborts[ELISION_ABORT_IRREVOCABLE];
    bool good = value == 1 && lock.word_ == 0 && other.word_ == 0 && elision_self_->inside == 0 &&
                elision_self_->depth == 0 && elision_enabled() &&
                stats.starts == stats.commits + aborts;
    if (injected == 0) {
        good = good && fast == kind->fast && stats.commits == kind->commits &&
               aborts == kind->irrevocable && stats.cuts == kind->cuts;
    }
    if (!good) {
        printf("%s: value %ld of 1, words %u %u, fast %u, starts %lu, commits %lu, aborts %lu, "
               "injected %lu, cuts %lu\n",
               kind->name, value, lock.word_, other.word_, fast, (unsigned long)stats.starts,
               (unsigned long)stats.commits, (unsigned long)aborts, (unsigned long)injected,
               (unsigned long)stats.cuts);
        return 1;
    }
    if (injected == 0) {
        puts("undisturbed");
    }
    return 0;
}

int
main(int argc, char **argv)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (argc == 1) {
            puts(kinds[i].name);
        }
        else if (strcmp(argv[1], kinds[i].name) == 0) {
            prepare(&kinds[i]);
            kinds[i].run();
            return check(&kinds[i]);
        }
    }
    return argc == 1 ? 0 : 2;
}
