/* SPDX-License-Identifier: MIT
 *
 * What the lifecycle tests share: a lock, work under it, and waiting for a child.
 */
#ifndef TESTS_UNIT_LIFECYCLE_H
#define TESTS_UNIT_LIFECYCLE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "elision/elision.h"

static elision_lock_t lock;
static elision_site_t site = ELISION_SITE_INIT("lifecycle");
static long value;

static int
reset(void **unused)
{
    static const elision_lock_t fresh = ELISION_LOCK_INIT;

    (void)unused;
    lock = fresh;
    value = 0;
    elision_set_concurrency(2);
    return 0;
}

static void *
add_thousand(void *unused)
{
    for (int i = 0; i < 1000; i++) {
        (void)elision_enter(&lock, &site);
        value++;
        elision_leave(&lock);
    }
    return unused;
}

static int
status_of(pid_t child)
{
    int status = -1;

    if (waitpid(child, &status, 0) != child) {
        return -1;
    }
    return status;
}

/* In a child: two threads add, and the sum must be right. ret: exit status */
static int
works_here(void)
{
    pthread_t threads[2];
    long before = value;

    elision_set_concurrency(2);
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, add_thousand, NULL) != 0) {
            return 2;
        }
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    return value == before + 2000 && lock.word_ == 0 ? 0 : 1;
}

#endif
