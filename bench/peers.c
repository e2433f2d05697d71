/* SPDX-License-Identifier: MIT */
/* Other people's locks, used as their authors say. Where one is not installed, or cannot be what
 * it is on this machine, it is skipped by name. */
#define _GNU_SOURCE
#include "bench/locks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "elision/elision.h"

static const char *
no_transactions(void)
{
    return elision_verdict()->can_elide ? NULL : "no transactions on this machine";
}

/* --- glibc -------------------------------------------------------------------------------------*/

static _Alignas(64) pthread_mutex_t glibc_mutex = PTHREAD_MUTEX_INITIALIZER;

/* Also std::mutex is elided by it, which is then no plain mutex any more. */
static bool
tunable_is_set(void)
{
    const char *tunables = getenv("GLIBC_TUNABLES");
    return tunables != NULL && strstr(tunables, "glibc.elision.enable=1") != NULL;
}

static const char *
glibc_missing(void)
{
    const char *missing = no_transactions();
    if (missing == NULL && !tunable_is_set()) {
        missing = "needs GLIBC_TUNABLES=glibc.elision.enable=1";
    }
    return missing;
}

static void
glibc_run(struct work_thread *t)
{
    pthread_mutex_lock(&glibc_mutex);
    bench_section(t);
    pthread_mutex_unlock(&glibc_mutex);
}

const struct bench_lock bench_lock_glibc = {
    .name = "glibc-elided", .missing = glibc_missing, .run = glibc_run, .speculates = true};

/* --- The C++ ones ------------------------------------------------------------------------------*/

/* Where there is no RTM it is a plain spinning lock, which is what its users get. */
static const char *
tbb_missing(void)
{
    return bench_have_tbb ? NULL : "oneTBB's headers were not there when this was built";
}

const struct bench_lock bench_lock_tbb = {
    .name = "tbb-speculative", .missing = tbb_missing, .run = bench_tbb_run, .speculates = true};

static const char *
std_mutex_missing(void)
{
    return tunable_is_set() ? "GLIBC_TUNABLES has it elided" : NULL;
}

const struct bench_lock bench_lock_std_mutex = {
    .name = "std-mutex", .missing = std_mutex_missing, .run = bench_std_mutex_run};

/* --- libitm ------------------------------------------------------------------------------------*/

/* Its software transactions would need every workload compiled twice; with RTM it has none. */
static const char *
libitm_missing(void)
{
    return bench_have_libitm ? no_transactions() : "the compiler this was built by has no -fgnu-tm";
}

const struct bench_lock bench_lock_libitm = {
    .name = "libitm", .missing = libitm_missing, .run = bench_libitm_run, .speculates = true};

/* --- Concurrency Kit ---------------------------------------------------------------------------*/

#if defined(__x86_64__) && __has_include(<ck_elide.h>)
/* Debian configures these headers without RTM; they are here taken with it. */
#include <ck_md.h>
#undef CK_MD_RTM_DISABLE
#include <ck_pr.h>
#ifndef CK_F_PR_RTM
#include <gcc/x86_64/ck_pr_rtm.h>
#endif
#include <ck_elide.h>
#include <ck_spinlock.h>

static _Alignas(64) ck_spinlock_fas_t ck_lock = CK_SPINLOCK_FAS_INITIALIZER;
static struct ck_elide_config ck_config = CK_ELIDE_CONFIG_DEFAULT_INITIALIZER;
static _Thread_local struct ck_elide_stat ck_stat = CK_ELIDE_STAT_INITIALIZER;

CK_ELIDE_PROTOTYPE(fas, ck_spinlock_fas_t, ck_spinlock_fas_locked, ck_spinlock_fas_lock,
                   ck_spinlock_fas_locked, ck_spinlock_fas_unlock)

static void
ck_run(struct work_thread *t)
{
    CK_ELIDE_LOCK_ADAPTIVE(fas, &ck_stat, &ck_config, &ck_lock);
    bench_section(t);
    CK_ELIDE_UNLOCK_ADAPTIVE(fas, &ck_stat, &ck_lock);
}

const struct bench_lock bench_lock_ck = {
    .name = "ck-elide", .missing = no_transactions, .run = ck_run, .speculates = true};
#else
static const char *
ck_missing(void)
{
    return "Concurrency Kit's headers were not there when this was built";
}

const struct bench_lock bench_lock_ck = {.name = "ck-elide", .missing = ck_missing};
#endif
