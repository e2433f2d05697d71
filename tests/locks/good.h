/* SPDX-License-Identifier: MIT
 *
 * The library's lock and the control.
 */
#ifndef TESTS_LOCKS_GOOD_H
#define TESTS_LOCKS_GOOD_H

#include <pthread.h>
#include <stdbool.h>

#include "elision/elision.h"

static elision_lock_t elision_kind_lock = ELISION_LOCK_INIT;
static elision_site_t elision_kind_site = ELISION_SITE_INIT("stress");

static void
elision_kind_enter(void)
{
    (void)elision_enter(&elision_kind_lock, &elision_kind_site);
}

static void
elision_kind_leave(void)
{
    elision_leave(&elision_kind_lock);
}

static void
elision_kind_irrevocable(void)
{
    elision_irrevocable(&elision_kind_lock);
}

static pthread_mutex_t pthread_kind_lock = PTHREAD_MUTEX_INITIALIZER;

static void
pthread_kind_enter(void)
{
    pthread_mutex_lock(&pthread_kind_lock);
}

static void
pthread_kind_leave(void)
{
    pthread_mutex_unlock(&pthread_kind_lock);
}

static void
nothing(void)
{
}

static bool
never(void)
{
    return false;
}

#endif
