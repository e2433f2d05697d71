/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Concurrency Kit's elided spinlock, adaptive. Debian configures its headers without RTM; they are
 * here taken with it.
 */

#include <ck_md.h>
#undef CK_MD_RTM_DISABLE
#include <ck_pr.h>
#ifndef CK_F_PR_RTM
#include <gcc/x86_64/ck_pr_rtm.h>
#endif
#include <ck_elide.h>
#include <ck_spinlock.h>

#include "rtmgrind/tests/peer.h"

static ck_spinlock_fas_t lock = CK_SPINLOCK_FAS_INITIALIZER;
static struct ck_elide_config config = CK_ELIDE_CONFIG_DEFAULT_INITIALIZER;
static __thread struct ck_elide_stat stat = CK_ELIDE_STAT_INITIALIZER;

CK_ELIDE_PROTOTYPE(fas, ck_spinlock_fas_t, ck_spinlock_fas_locked, ck_spinlock_fas_lock,
                   ck_spinlock_fas_locked, ck_spinlock_fas_unlock)

static long
locked_section(unsigned n)
{
    long sum;

    CK_ELIDE_LOCK_ADAPTIVE(fas, &stat, &config, &lock);
    sum = peer_section(n);
    CK_ELIDE_UNLOCK_ADAPTIVE(fas, &stat, &lock);
    return sum;
}

int
main(void)
{
    return peer_run(locked_section);
}
