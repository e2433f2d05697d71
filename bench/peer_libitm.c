/* SPDX-License-Identifier: MIT */
/* GCC's transactional memory. Built with -fgnu-tm where the compiler has it (BENCH_LIBITM), which
 * no other file wants.
 *
 * libitm tries RTM, and then runs the transaction alone under its serial lock. Either way nothing
 * in it needs to be instrumented, which is what transaction_pure says. Its software transactions
 * would: so this is for machines with RTM only. */
#include "bench/locks.h"

#include <stdlib.h>

#ifdef BENCH_LIBITM
const bool bench_have_libitm = true;

__attribute__((transaction_pure)) void bench_section(struct work_thread *t);

/* A transaction that touches nothing but by pure functions would be left out by the compiler. */
static _Thread_local unsigned long entered;

void
bench_libitm_run(struct work_thread *t)
{
    __transaction_atomic
    {
        entered++;
        bench_section(t);
    }
}
#else
const bool bench_have_libitm = false;

void
bench_libitm_run(struct work_thread *t)
{
    (void)t;
    abort();
}
#endif
