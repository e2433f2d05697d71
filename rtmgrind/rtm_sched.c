/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Virtual cores in virtual time.
 *
 * Every thread has a clock in virtual cycles.  The runnable thread with the
 * smallest clock runs, until its clock passes the next one's by a quantum.  So
 * N threads advance together, like N cores, however few the host has, and the
 * schedule is a function of the program and the seed alone.
 *
 * Valgrind runs one client thread at a time, the holder of its big lock, and
 * gives that lock up only outside translated code.  This file *is* the big
 * lock, together with rtm_biglock.c.
 *
 * Waits that the kernel would do (futex, sleep) are done here, in virtual time
 * (rtm_sys.c): a BLOCKED thread is simply not picked.  A thread in a real
 * system call is waited for, so that the order of events does not depend on
 * the host; only when it stays away (a socket, a pipe) do the others go on,
 * and the run is reported as not repeatable.
 *
 * The lock's calls come from any host thread; `guard` protects the state.
 * Everything else is called by the thread that runs.
 */

#include "rtm_sched.h"

struct rtm_thread rtm_threads[RTM_MAX_THREADS];
struct rtm_thread *rtm_cur;
struct rtm_sched rtm_sched;
ULong rtm_nondeterministic;
Bool rtm_forked_child;

enum {
    SPIN_GAP = 2000,      /* cycles between two PAUSEs of one wait */
    MOST_SPINNING = 4000, /* cycles a waiting thread may run ahead */
};

static ULong rng = 1;

/* ------------------------------------------------------------------ */
/* Small things                                                        */

void
rtm_lock_guard(void)
{
    rtm_lock_guard_of_turn();
    rtm_sched.changed = True;
}

void
rtm_unlock_guard(void)
{
    struct rtm_thread *t = rtm_sched.to_wake;

    rtm_sched.to_wake = NULL;
    __atomic_store_n(&rtm_sched.guard, 0, __ATOMIC_RELEASE);
    if (t) {
        rtm_raw_syscall(__NR_futex, (HWord)&t->wake_word, FUTEX_WAKE_PRIVATE, 1, 0);
    }
}

void
rtm_reset_guard(void)
{
    rtm_sched.guard = 0;
    rtm_sched.changed = True;
}

void
rtm_sched_seed(void)
{
    rng = (ULong)rtm_opt.seed * 0x9E3779B97F4A7C15ULL | 1;
}

/* xorshift64*: repeatable, seeded by --seed. */
ULong
rtm_random(void)
{
    rng ^= rng >> 12;
    rng ^= rng << 25;
    rng ^= rng >> 27;
    return rng * 0x2545F4914F6CDD1DULL >> 16;
}

static ULong
add_sat(ULong a, ULong b)
{
    return a > RTM_NEVER - b ? RTM_NEVER : a + b;
}

void
rtm_sched_leave_soon(void)
{
    rtm_cur->gs->host_EvC_COUNTER = 0;
}

ULong
rtm_sched_makespan(void)
{
    const ULong now = rtm_sched.dying ? 0 : rtm_clock();

    return now > rtm_sched.makespan ? now : rtm_sched.makespan;
}

Int
rtm_sched_threads_live(void)
{
    return rtm_sched.n_threads;
}

struct rtm_thread *
rtm_thread_with(Int lwp)
{
    Int i;

    for (i = 1; i <= rtm_sched.max_thread; i++) {
        if (rtm_threads[i].state != RTM_T_FREE && rtm_threads[i].lwp == lwp) {
            return &rtm_threads[i];
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ */
/* Who runs next                                                       */

/* Equal clocks are common; which thread goes first then is what a seed
 * varies. */
static ULong
tie(const struct rtm_thread *t, ULong when)
{
    return ((when + (ULong)rtm_opt.seed) * 0x9E3779B97F4A7C15ULL ^
            (ULong)t->tid * 0xD6E8FEB86659FD93ULL) >>
           32;
}

static Bool
candidate(const struct rtm_thread *t, ULong *when)
{
    switch (t->state) {
    case RTM_T_READY:
    case RTM_T_NEW: *when = t->clock; return t->core >= 0;
    case RTM_T_SYSCALL: *when = t->clock; return True;
    case RTM_T_BLOCKED: *when = t->wake_at; return t->wake_at != RTM_NEVER;
    case RTM_T_FREE:
    case RTM_T_RUNNING:
    case RTM_T_AWAY: return False;
    }
    return False;
}

/* The next thread to run, when, and when the one after that would. */
struct queue {
    struct rtm_thread *first;
    ULong when, second;
};

/* Who may be next, the running thread among them, and where it says when: what survey() goes by.
 * From one turn to the next only those times change, unless rtm_sched.changed. */
static struct {
    const ULong *when;
    struct rtm_thread *thread;
} candidates[RTM_MAX_THREADS];
static Int n_candidates;

static void
find_candidates(void)
{
    ULong when;
    Int i;

    n_candidates = 0;
    for (i = 1; i <= rtm_sched.max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if (candidate(t, &when)) {
            candidates[n_candidates].when = t->state == RTM_T_BLOCKED ? &t->wake_at : &t->clock;
            candidates[n_candidates++].thread = t;
        }
    }
}

/* Of those that say the same time, who is first? */
static struct rtm_thread *
first_at(ULong when)
{
    struct rtm_thread *first = NULL;
    Int i;

    for (i = 0; i < n_candidates; i++) {
        struct rtm_thread *t = candidates[i].thread;
        if (*candidates[i].when == when && (!first || tie(t, when) < tie(first, when))) {
            first = t;
        }
    }
    return first;
}

/* Who is first changes all the time: a loop that does not branch on it is the fastest. */
static inline __attribute__((always_inline)) struct queue
survey(void)
{
    ULong first = RTM_NEVER, second = RTM_NEVER;
    Int i, at = -1;

    for (i = 0; i < n_candidates; i++) {
        const ULong when = *candidates[i].when;
        const Bool sooner = when < first;
        second = sooner ? first : when < second ? when : second;
        at = sooner ? i : at;
        first = sooner ? when : first;
    }
    return (struct queue){at < 0            ? NULL
                          : second == first ? first_at(first)
                                            : candidates[at].thread,
                          first, second};
}

/* How far a thread may run ahead: short transactions need fine interleaving,
 * or they would all fit between two switches and never meet. Where threads have
 * not met for long it is coarse, until they do. */
static ULong
quantum(const struct rtm_thread *t)
{
    const Bool lately = rtm_tx_lately(t->clock);
    ULong q = rtm_opt.quantum, spin;

    if (q == 0) {
        q = lately && rtm_met_lately(t->clock) ? rtm_tx_cycles_avg / 4
                                               : rtm_transfer_gap(t->clock) / 2;
        q = q < 16 ? 16 : q > 1000 ? 1000 : q;
        spin = t->clock - t->paused_at < SPIN_GAP ? t->spun : 0;
        spin = lately ? spin / 32 : spin / 8;
        spin = spin < MOST_SPINNING ? spin : MOST_SPINNING;
        q = spin > q ? spin : q;
    }
    return q / 2 + rtm_random() % (q + 1);
}

/* A PAUSE: the thread waits for somebody. Having waited for long, it may look a
 * little early, which saves most of the hand-overs that polling costs us: it
 * sees a release late by an eighth of its wait at most, and by a thirty-second
 * part in programs with transactions, where a lock that stays free for longer
 * than it should lets transactions through. */
void
rtm_help_pause(void)
{
    struct rtm_thread *t = rtm_cur;
    const ULong now = rtm_clock();

    if (now - t->paused_at < SPIN_GAP) {
        t->spun += now - t->paused_at;
    }
    else {
        t->spun = 0;
    }
    t->paused_at = now;
}

/* When t stops, the next thread to run being due at `next`. */
static ULong
deadline_of(struct rtm_thread *t, ULong next)
{
    ULong deadline = add_sat(next, quantum(t));

    if (t->core_since + (ULong)rtm_opt.slice < deadline && rtm_first_in_queue()) {
        deadline = t->core_since + rtm_opt.slice;
    }
    if (rtm_sched.timers) {
        const ULong timer = rtm_timer_due(t);
        deadline = timer < deadline ? timer : deadline;
    }
    if (t->tx.state == RTM_TX_LIVE && t->tx.inject_at < deadline) {
        deadline = t->tx.inject_at;
    }
    if (rtm_opt.timer_tick && t->tx.state == RTM_TX_LIVE) {
        const ULong tick = rtm_opt.timer_tick;
        const ULong at = (t->tx.begin_clock / tick + 1) * tick;
        deadline = at < deadline ? at : deadline;
    }
    return deadline;
}

/* Under guard: others became ready, or the running thread has a new reason to stop. */
static void
set_deadline(void)
{
    if (rtm_cur) {
        find_candidates(); /* this time without the running thread */
        rtm_sched.changed = True;
        rtm_cur->shadow->deadline = deadline_of(rtm_cur, survey().when);
    }
}

void
rtm_sched_refresh(void)
{
    rtm_lock_guard();
    set_deadline();
    rtm_unlock_guard();
}

static void
grant(struct rtm_thread *t, ULong next)
{
    volatile struct rtm_shadow *shadow = t->shadow;

    t->state = RTM_T_RUNNING;
    rtm_cur = t;
    rtm_sched.last_grant = t->clock;
    shadow->clock = t->clock;
    shadow->deadline = deadline_of(t, next);
    shadow->in_tx = t->tx.state != RTM_TX_NONE;
    shadow->active = t->tx.state != RTM_TX_NONE || rtm_checks_plain();
}

/* The wait of q's first thread is over, or a timer fires, whichever comes first. ret: did it? Not
 * if virtual time may not jump there, or a thread has to return before. */
static Bool
pass_time(const struct queue *q)
{
    const ULong timer = rtm_timer_due(NULL), when = timer < q->when ? timer : q->when;
    struct rtm_thread *t = q->first;

    rtm_sched.changed = True;
    if (when == RTM_NEVER || ((!t || t->state == RTM_T_BLOCKED) && rtm_too_early(when))) {
        return False;
    }
    if (timer <= q->when) {
        rtm_sched.awaited = rtm_timer_fire();
        return !rtm_sched.awaited;
    }
    t->timed_out = True;
    t->clock = q->when;
    t->wake_at = RTM_NEVER;
    rtm_make_ready(t);
    return True;
}

void
rtm_pick(void)
{
    struct rtm_thread *t;
    struct queue q;

    tl_assert(!rtm_cur);
    rtm_sched.awaited = NULL;
    for (;;) {
        if (rtm_sched.queued) {
            rtm_fill_cores();
        }
        if (rtm_sched.changed) {
            find_candidates();
            rtm_sched.changed = False;
        }
        q = survey();
        t = q.first;
        if (t && t->state != RTM_T_BLOCKED && (!rtm_sched.timers || q.when < rtm_timer_due(NULL))) {
            break;
        }
        if (!pass_time(&q)) {
            return;
        }
    }
    if (t->state == RTM_T_READY) {
        grant(t, q.second);
    }
    else {
        rtm_sched.awaited = t; /* in a system call, or on its way: its move */
    }
}

/* ------------------------------------------------------------------ */
/* Events                                                              */

void
rtm_sched_thread_new(ThreadId tid, ThreadId parent)
{
    struct rtm_thread *t = &rtm_threads[tid];
    struct rtm_thread *p = &rtm_threads[parent];
    struct rtm_touch *touch = t->tx.touch; /* of a thread before that had this number */
    ULong *index = t->tx.index;
    const Int cap = t->tx.cap_touch;
    const UInt gen = t->tx.gen;

    tl_assert(tid < RTM_MAX_THREADS);
    rtm_lock_guard();
    if (t->tid != VG_INVALID_THREADID) {
        rtm_count_ended(t);
    }
    VG_(memset)(t, 0, sizeof *t);
    t->tx.touch = touch;
    t->tx.index = index;
    t->tx.cap_touch = cap;
    t->tx.gen = gen;
    t->tid = tid;
    t->shadow = &t->early;
    t->early.extended = 1;
    t->core = -1;
    t->wake_at = RTM_NEVER;
    t->state = RTM_T_NEW;
    rtm_enqueue(t);
    t->clock = rtm_cur ? rtm_clock() : 0;
    t->clear_child_tid = parent != tid ? p->pending_clear_child_tid : 0;
    if ((Int)tid > rtm_sched.max_thread) {
        rtm_sched.max_thread = tid;
    }
    rtm_sched.n_threads++;
    rtm_fill_cores();
    set_deadline();
    rtm_unlock_guard();
}

void
rtm_sched_unblock(struct rtm_thread *t, ULong at)
{
    t->woken = True;
    t->wake_at = RTM_NEVER;
    if (t->clock < at) {
        t->clock = at;
    }
    rtm_make_ready(t);
}

void
rtm_sched_wake(struct rtm_thread *t, ULong at)
{
    rtm_lock_guard();
    if (t->state == RTM_T_BLOCKED) {
        rtm_sched_unblock(t, at);
        rtm_fill_cores();
        set_deadline();
    }
    rtm_unlock_guard();
}

void
rtm_sched_kick(ThreadId tid)
{
    Int i;

    rtm_sched.signals++;
    for (i = 1; i <= rtm_sched.max_thread; i++) {
        struct rtm_thread *t = &rtm_threads[i];
        if (t->state == RTM_T_BLOCKED && (tid == 0 || t->tid == tid)) {
            rtm_sched_wake(t, rtm_clock());
            t->woken = False; /* asks again */
        }
    }
}

void
rtm_sched_dying(void)
{
    if (!rtm_sched.dying) {
        rtm_sched.makespan = rtm_sched_makespan();
        rtm_sched.dying = True;
    }
    rtm_sched_kick(0);
}

/* sched_yield: behind everybody who is runnable now; not behind those who wait
 * for a time to come. */
void
rtm_sched_yield(void)
{
    const ULong now = rtm_clock();
    ULong next = RTM_NEVER, when;
    Int i;

    for (i = 1; i <= rtm_sched.max_thread; i++) {
        const struct rtm_thread *t = &rtm_threads[i];
        if (t != rtm_cur && t->state != RTM_T_BLOCKED && candidate(t, &when) && when < next) {
            next = when;
        }
    }
    if (next != RTM_NEVER && next >= now) {
        rtm_clock_add(next - now + 1);
    }
    rtm_sched_leave_soon();
}

void
__wrap_vgPlain_nuke_all_threads_except(ThreadId me, UInt src)
{
    rtm_sched_dying();
    __real_vgPlain_nuke_all_threads_except(me, src);
}
