/* SPDX-License-Identifier: MIT
 *
 * A few sections of each kind, for rtmgrind --abort-at=N. Exit status: 0 if all was done once.
 */
#include <stdio.h>

#include "elision/elision.h"

static elision_lock_t lock, other;
static elision_site_t site = ELISION_SITE_INIT("abort-at");
static long value;

int
main(void)
{
    elision_set_concurrency(2);
    for (int i = 0; i < 2; i++) {
        (void)elision_enter(&lock, &site);
        value++;
        (void)elision_enter(&other, &site);
        value++;
        elision_leave(&other);
        elision_leave(&lock);
        (void)elision_enter(&lock, &site);
        value++;
        (void)elision_checkpoint_now(&lock, &site);
        value++;
        elision_irrevocable(&lock);
        value++;
        elision_leave(&lock);
    }
    struct elision_stats stats;
    elision_stats(&stats);
    uint64_t aborts = 0;
    for (int i = 0; i < ELISION_ABORT_REASONS; i++) {
        aborts += stats.aborts[i];
    }
    if (value != 10 || lock.word_ != 0 || other.word_ != 0 ||
        stats.starts != stats.commits + aborts) {
        printf("value %ld of 10, words %u %u, starts %lu, commits %lu, aborts %lu\n", value,
               lock.word_, other.word_, (unsigned long)stats.starts, (unsigned long)stats.commits,
               (unsigned long)aborts);
        return 1;
    }
    return 0;
}
