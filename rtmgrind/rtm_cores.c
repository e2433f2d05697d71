/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Virtual cores. A thread needs one to run; with more threads than cores they
 * queue, and a thread leaves its core when it waits or has used up its slice.
 */

#include "rtm_sched.h"

struct rtm_thread *rtm_on_core[RTM_MAX_CORES];
static ULong core_clock[RTM_MAX_CORES]; /* when the core was last left */
static ULong queue_seq;

void
rtm_enqueue(struct rtm_thread *t)
{
    t->queue_seq = ++queue_seq;
    rtm_sched.queued = rtm_sched.changed = True;
}

void
rtm_leave_core(struct rtm_thread *t)
{
    if (t->core >= 0) {
        rtm_on_core[t->core] = NULL;
        core_clock[t->core] = t->clock;
        t->core = -1;
        rtm_sched.changed = True;
    }
}

static Int
idle_core(ULong now)
{
    Int c, best = -1;

    for (c = 0; c < rtm_opt.cores; c++) {
        if (rtm_on_core[c]) {
            continue;
        }
        if (core_clock[c] <= now) {
            return c;
        }
        if (best < 0 || core_clock[c] < core_clock[best]) {
            best = c;
        }
    }
    return best;
}

static Bool
take_core(struct rtm_thread *t)
{
    const Int c = idle_core(t->clock);

    if (c < 0) {
        return False;
    }
    t->core = c;
    rtm_on_core[c] = t;
    rtm_sched.changed = True;
    if (core_clock[c] > t->clock) {
        t->clock = core_clock[c];
    }
    t->core_since = t->clock;
    return True;
}

struct rtm_thread *
rtm_first_in_queue(void)
{
    struct rtm_thread *first = NULL;
    Int i;

    for (i = 1; i <= rtm_sched.max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if ((t->state == RTM_T_READY || t->state == RTM_T_NEW) && t->core < 0 &&
            (!first || t->queue_seq < first->queue_seq)) {
            first = t;
        }
    }
    return first;
}

void
rtm_fill_cores(void)
{
    struct rtm_thread *t;

    while ((t = rtm_first_in_queue()) != NULL && take_core(t)) {
    }
    rtm_sched.queued = t != NULL;
}

/* A thread that used up its slice while others queue for a core goes to the
 * end of the queue; a context switch aborts its transaction. */
void
rtm_end_slice(struct rtm_thread *t)
{
    t->core_since = t->clock;
    if (!rtm_first_in_queue()) {
        return;
    }
    if (t->tx.state == RTM_TX_LIVE) {
        rtm_tx_abort_parked(t, 0, RTM_C_TIMER, "context switch");
    }
    rtm_leave_core(t);
    rtm_enqueue(t);
}
