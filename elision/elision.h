/* SPDX-License-Identifier: MIT
 *
 * libelision: the critical sections of one big lock, run as hardware transactions (Intel TSX RTM),
 * with a real lock to fall back on.
 *
 * This is the only header an embedder needs. It is not a transactional memory: a section is either
 * one hardware transaction or holds the lock, and what it sees is what the lock alone would show.
 *
 *     static elision_lock_t lock = ELISION_LOCK_INIT;
 *     static elision_site_t site = ELISION_SITE_INIT("deposit");
 *
 *     elision_enter(&lock, &site);
 *     balance += amount;
 *     elision_leave(&lock);
 *
 * States of a thread with regard to one lock:
 *
 *     outside --enter--> SPECULATIVE --leave (commit)--> outside
 *        |                    | abort: every effect since enter is undone, enter decides again
 *        |                    v
 *        +----enter------> LOCKED -------leave---------> outside
 *
 * A speculative section may be undone at any instruction and run again, or be run again with the
 * lock held. So whatever cannot be undone (a system call, I/O, a wait for another thread) either
 * aborts it by itself, or the program says elision_irrevocable() first.
 *
 * Contracts below use these words.
 *   pre:   what must hold before; without it, only that pointers are valid and, where the text does
 *          not say otherwise, not NULL
 *   order: memory order; without it the call promises none
 *   tx:    safe (may be called in a speculative section and keeps it going), outside only (not in
 *          a speculative section, which is checked only where it says so), forces abort (the
 *          section runs again with the lock held, then the call succeeds)
 *   fork:  what a child process finds; without it a copy, as of any memory
 * Each function has its tx:, or that of the one which it is said to be the same as. All may be
 * called by any thread, and keep errno.
 * Misuse draws one line on stderr that names the call, what was expected and what was found.
 * Leaving a lock that is not held is then ignored (ELISION_MISUSE=abort ends the process instead);
 * what cannot be survived, such as entering a lock twice, ends the process by abort(3).
 */
#ifndef ELISION_ELISION_H
#define ELISION_ELISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ELISION_VERSION_MAJOR 0
#define ELISION_VERSION_MINOR 1
#define ELISION_VERSION_PATCH 0

#if defined(__GNUC__)
#define ELISION_API __attribute__((visibility("default")))
#define ELISION_ALIGNED __attribute__((aligned(64)))
#else
#error "libelision needs gcc or clang"
#endif

/* --- Locks and sites ---------------------------------------------------------------------------*/

/* A lock. The word is alone on its cache line, since every transaction that runs under the lock has
 * that line in its read set: anything else written there would abort them all. Layout is private
 * (fallback/lock.h); size and alignment are part of the ABI. All zeros is a free lock. For threads
 * of one process: in memory that processes share it would lose wake-ups.
 * fork:  a child has the lock as it was; held only if the forking thread held it, otherwise a lock
 *        some other thread held stays held for good, as with a pthread mutex. */
struct elision_lock {
    uint32_t word_;
    uint32_t line_[15];
    uint32_t private_[80];
} ELISION_ALIGNED;
typedef struct elision_lock elision_lock_t;
#define ELISION_LOCK_INIT \
    {                     \
        0, {0},           \
        {                 \
            0             \
        }                 \
    }

/* A place in the program where a section begins. It owns what the policy learns. Static sites are
 * written once with ELISION_SITE_INIT; the name (a string literal, kept by pointer) shows in
 * reports. Layout is private. The library keeps a pointer to every site for good: a shared object
 * that has static ones, or libelision.a in it, must not be unloaded (link it with -z nodelete); one
 * that must be uses elision_site_dynamic and libelision.so. At most ELISION_SITES_MAX sites have
 * state of their own; further ones share one state, which costs precision and nothing else. */
struct elision_site {
    const char *name_;
    uint32_t id_;
    uint32_t flags_;
    uint64_t key_;
    uint64_t off_;
};
typedef struct elision_site elision_site_t;
#define ELISION_SITE_INIT(name) \
    {                           \
        (name), 0, 0, 0, 0      \
    }
#define ELISION_SITES_MAX 1024

/* How a section runs. */
enum elision_path {
    ELISION_LOCKED = 0,      /* the lock is held */
    ELISION_SPECULATIVE = 1, /* inside a transaction that subscribes to the lock */
    ELISION_BUSY = 2,        /* not entered */
};

/* --- Sections ----------------------------------------------------------------------------------*/

/* Enter the section guarded by lock, by transaction or by lock. Waits for a busy lock: first
 * spinning, then parked.
 * pre:   this thread is not inside lock (checked)
 * ret:   ELISION_SPECULATIVE or ELISION_LOCKED; never fails. May return more than once: each abort
 *        of the transaction comes back here with everything since undone
 * order: acquire on both paths; pairs with elision_leave
 * tx:    safe: a section inside a section of another lock joins its transaction
 * owner: lock and site stay the caller's; the site must live as long as the process, the lock until
 *        nobody is inside or waits */
ELISION_API enum elision_path elision_enter(elision_lock_t *lock, elision_site_t *site);

/* The same, but gives up where elision_enter would wait for the lock.
 * ret:   as elision_enter, or ELISION_BUSY: not entered */
ELISION_API enum elision_path elision_try_enter(elision_lock_t *lock, elision_site_t *site);

/* Enter by transaction or not at all: does not wait until the lock is free, nor park, nor take it.
 * For an interpreter that must detach itself before it waits. After ELISION_BUSY call elision_enter
 * to get in: if the policy wanted the lock, the next elision_enter of this lock on this thread
 * takes it, at any site but one that is doing well by transactions; what was learnt is this site's
 * alone.
 * It may spin before it answers, but within bounds: for as many attempts as the policy makes (never
 * more than 1000), before each of them for its back-off (at most 4 pauses; the preset dpdk: up to 7
 * million) and for at most 30 pauses until the auxiliary lock is free. What has no such bound is
 * the library's own short locks: a mutex in a thread's first section, and a spin lock when threads
 * that wait for the lock are told to speculate again.
 * pre:   this thread is in no section (checked)
 * ret:   ELISION_SPECULATIVE, or ELISION_BUSY: the lock is held, elision is off, or the policy says
 *        this section had better hold the lock
 * order: acquire if speculative
 * tx:    outside only */
ELISION_API enum elision_path elision_enter_speculative(elision_lock_t *lock, elision_site_t *site);

/* The same as elision_enter, but takes the lock if it is free, whatever the site has learnt: for an
 * embedder that knows that all other threads wait for something else. With nobody to run beside, a
 * transaction costs more than the lock. A thread that comes meanwhile waits as for any holder, so
 * such a section had better be cut at the next checkpoint then.
 * ret:   ELISION_LOCKED; ELISION_SPECULATIVE only if the lock was not free, or as part of an outer
 *        section's transaction
 * order: acquire on both paths
 * tx:    safe */
ELISION_API enum elision_path elision_enter_alone(elision_lock_t *lock, elision_site_t *site);

/* Leave the section: commit the transaction or release the lock (and wake or hand over to waiters).
 * pre:   this thread entered lock (checked)
 * order: release on both paths; pairs with elision_enter
 * tx:    safe: ends it, when this was the outermost section */
ELISION_API void elision_leave(elision_lock_t *lock);

/* A place in a long section where it may be cut: what came before is published, other threads may
 * run, and the section goes on. A speculative section is cut when its length (in checkpoints, see
 * elision_section_length) is used up; a locked one when somebody asked for the lock to be handed
 * over, and wherever the process may speculate, since what follows may: an embedder that wants such
 * a section to go on asks elision_prefers_lock first.
 * pre:   this thread is inside lock and in no other section, and all it protects is consistent
 * ret:   the path the section is on now: ELISION_SPECULATIVE or ELISION_LOCKED; ELISION_BUSY after
 *        misuse, when this thread is not inside
 * order: acquire and release if the section was cut, otherwise none
 * tx:    safe */
ELISION_API enum elision_path elision_checkpoint(elision_lock_t *lock, elision_site_t *site);

/* From here to elision_leave this section must hold the lock. On the locked path this is a no-op; a
 * speculative section aborts with a code of its own and comes back from elision_enter as
 * ELISION_LOCKED, which the site learns.
 * pre:   this thread is inside lock (checked)
 * tx:    forces abort */
ELISION_API void elision_irrevocable(elision_lock_t *lock);

/* ret:   true from a speculative enter to its leave, on this thread
 * tx:    safe */
ELISION_API bool elision_is_speculative(void);

/* How hard it was to get into the section this thread is in: an embedder that can do the same work
 * with fewer shared writes (and more effort of its own) asks this to decide which way to go.
 * pre:   this thread is in a section; from its enter or checkpoint to its leave or next cut the
 *        answer stays the same, on both paths. A section that joined an outer one's transaction
 *        answers for that transaction
 * ret:   how many transactions of this section were aborted by conflict before it got going; 0 when
 *        it began at the first try, and outside any section
 * tx:    safe: reads the thread's own record, which is not written between begin and commit */
ELISION_API unsigned elision_section_conflicts(void);

/* ret:   true if this thread is inside lock, on either path
 * tx:    safe */
ELISION_API bool elision_is_inside(const elision_lock_t *lock);

/* ret:   true if somebody has waited for lock longer than its switch interval, so that a locked
 *        section should be cut soon. elision_checkpoint and elision_leave honour it by themselves
 * tx:    safe, but reads a line that waiters write: call it on the locked path */
ELISION_API bool elision_handover_pending(const elision_lock_t *lock);

/* Set how long a waiter of lock lets others go first before the lock must be handed to it, in
 * nanoseconds; 0 (the default) means that only the count bounds unfairness: a waiter at the head of
 * the queue is passed at most ELISION_PASSES (a knob) times. Who sleeps at the time goes by the new
 * value from its next waking on.
 * tx:    outside only   fork: kept */
ELISION_API void elision_set_switch_interval(elision_lock_t *lock, uint64_t nanoseconds);

/* --- Sites made at run time, section length ----------------------------------------------------*/

/* The site for a key, made at first use: for interpreters whose yield points are not known at
 * compile time. The table is bounded and nothing is ever freed: when its neighbourhood in the table
 * is full, a key shares the site of another.
 * pre:   key is not 0; name lives as long as the process, or is NULL
 * ret:   a site, never NULL; the same for the same key
 * tx:    safe after the first call with this key; the first one aborts nothing either, but its
 *        writes are seen by other threads' sections only at commit */
ELISION_API elision_site_t *elision_site_dynamic(uintptr_t key, const char *name);

/* ret:   how many checkpoints a section that began at site should run before it is cut, at least 1;
 *        learnt per thread: capacity aborts shorten it, commits lengthen it slowly. An embedder
 *        that counts down by itself asks after each enter, and calls elision_leave and an enter (or
 *        elision_checkpoint_now) when the count is used up
 * To ask marks the site for good as one whose sections are cut, as a cut does, too (in a
 * transaction: once one of its threads asks the policy again). Such sections are no fixed work: the
 * policy backs off earlier and takes the lock after fewer conflicts, and whether the lock is better
 * is found out for all marked sites together, from what elision_progress tells. So do not ask about
 * a site whose sections are not to be cut.
 * tx:    safe */
ELISION_API unsigned elision_section_length(elision_site_t *site);

/* Tell that the calling thread has done so many checkpoints, by sections of either path; those of
 * sections that were undone do not count. From this the library finds out, for all sites whose
 * sections are cut together, whether their threads do more with transactions or with the lock; who
 * never calls it has them speculate. Call it after the leave, and when a locked section that goes
 * on over many checkpoints has done some.
 * tx:    outside only */
ELISION_API void elision_progress(unsigned checkpoints);

/* The same, of checkpoints that the thread has done by the lock while it had nobody to run beside.
 * They speak for neither way, and where nothing else is done for long the program may be another
 * one afterwards.
 * tx:    outside only */
ELISION_API void elision_progress_alone(unsigned checkpoints);

/* ret:   true if sections that begin at site hold the lock at present, whatever their thread has
 *        learnt: elision is off, or all threads were found to do more that way. A locked section
 *        had better go on over checkpoints then, until elision_handover_pending
 * tx:    safe; outside a transaction it also looks whether it is time to try something else */
ELISION_API bool elision_prefers_lock(elision_lock_t *lock, elision_site_t *site);

/* elision_checkpoint for an embedder that counted down by itself: cuts the section now, unless
 * it is locked and the process may not speculate.
 * Contract otherwise as elision_checkpoint. */
ELISION_API enum elision_path elision_checkpoint_now(elision_lock_t *lock, elision_site_t *site);

/* --- Switching it off and on -------------------------------------------------------------------*/

/* The kill switch. Off: every later enter takes the lock. On: undoes off; whether transactions are
 * used still depends on the verdict. Sections under way end as they began.
 * tx:    outside only   fork: kept */
ELISION_API void elision_set_enabled(bool enabled);

/* ret:   true if transactions may be used: switched on and the verdict allows it
 * tx:    safe */
ELISION_API bool elision_enabled(void);

/* Say how many threads of the process can run sections at the same time. With 1 every section takes
 * the lock, which is cheaper when alone. 0 (the default): the library counts the living threads
 * that have entered a section.
 * tx:    outside only   fork: reset to 0 in the child */
ELISION_API void elision_set_concurrency(unsigned threads);

/* --- Verdict -----------------------------------------------------------------------------------*/

/* What transactions there are. Whether they are used is can_elide: with ELISION_TRIES=0 every
 * section takes the lock, whatever the backend. */
enum elision_backend {
    ELISION_BACKEND_NONE = 0,     /* none that may be used: every section takes the lock */
    ELISION_BACKEND_RTM = 1,      /* Intel RTM */
    ELISION_BACKEND_SCRIPTED = 2, /* statuses come from a test's script; only in the test build */
};

/* What was found out about this machine when the library was loaded. Constant afterwards. Strings
 * live as long as the process. */
struct elision_verdict {
    enum elision_backend backend;
    bool can_elide;         /* transactions work here and are allowed, and the policy tries them */
    bool emulated;          /* under rtmgrind */
    const char *reason;     /* why, one line, no full stop */
    const char *remedy;     /* what to do about it, or "" */
    unsigned trial_starts;  /* empty transactions tried at load */
    unsigned trial_commits; /* of which committed */
    const char *policy;     /* name of the policy in force */
};

/* ret:   never NULL
 * tx:    safe */
ELISION_API const struct elision_verdict *elision_verdict(void);

/* --- Statistics --------------------------------------------------------------------------------*/

/* Why a transaction aborted, from the status bits and our own codes. */
enum elision_abort {
    ELISION_ABORT_BUSY = 0,        /* the lock was held (our code 0xff) */
    ELISION_ABORT_IRREVOCABLE = 1, /* the section must hold the lock (0xfe) */
    ELISION_ABORT_EXPLICIT = 2,    /* any other XABORT code */
    ELISION_ABORT_CONFLICT = 3,    /* another thread touched the same line */
    ELISION_ABORT_CAPACITY = 4,    /* the transaction outgrew the cache */
    ELISION_ABORT_DEBUG = 5,       /* breakpoint or single step */
    ELISION_ABORT_NESTED = 6,      /* aborted inside a nested transaction, no other reason */
    ELISION_ABORT_UNFRIENDLY = 7,  /* no reason given: system call, fault, interrupt */
    ELISION_ABORT_REASONS = 8,
};

/* Counters, from the start of the process, never decreasing. Cycles are TSC cycles. Those marked
 * (sampled) are measured on some sections, which stand for the others: after an abort on each, on a
 * site that commits on one in up to 1024, on a lock alone on one in 256. Maxima are over what was
 * measured. A section that joined an outer one's transaction is counted with that, and by none of
 * these for itself. A signal handler that enters sections of the site it interrupts may lose a
 * count. */
struct elision_stats {
    uint64_t starts; /* transactions begun; = commits + aborts, but for those under way */
    uint64_t commits;
    uint64_t aborts[ELISION_ABORT_REASONS];
    uint64_t locked;             /* sections that held the lock, for whatever reason */
    uint64_t fallbacks;          /* of those, after a failed transaction */
    uint64_t skips;              /* of those, because the policy had given up for a while */
    uint64_t giveups;            /* times the policy gave up */
    uint64_t reprobes;           /* times it tried again afterwards */
    uint64_t cuts;               /* sections cut at a checkpoint */
    uint64_t busy;               /* try_enter and enter_speculative answered ELISION_BUSY */
    uint64_t parks;              /* times a thread slept for the lock */
    uint64_t handovers;          /* times the lock was passed to a waiter without becoming free */
    uint64_t cycles_speculating; /* in transactions that committed (sampled) */
    uint64_t cycles_wasted;      /* in transactions that aborted (some first attempts: sampled) */
    uint64_t cycles_waiting;     /* for the lock, and backing off */
    uint64_t cycles_holding;     /* with the lock held (sampled) */
    uint64_t max_speculating;
    uint64_t max_wasted;
    uint64_t max_waiting;
    uint64_t max_holding;
    uint64_t threads; /* threads that have ever entered a section */
    uint64_t sites;   /* sites that have state of their own */
    uint64_t reserved[8];
};

/* Sum over all threads, dead ones included, without stopping any. Each counter is exact for some
 * moment during the call, not all for the same one; but of each other thread one commit at each
 * site may be missing until it enters there again or ends.
 * tx:    outside only   fork: a child starts from the parent's sums */
ELISION_API void elision_stats(struct elision_stats *stats);

/* The same for one site. The counters threads, sites, parks and handovers stay 0. Sections that
 * took the free lock while nothing could speculate, before the site got state of its own (one of
 * 256 such sections of a thread sees to that), are in elision_stats only.
 * tx:    outside only */
ELISION_API void elision_site_stats(const elision_site_t *site, struct elision_stats *stats);

/* What the calling thread alone counts, at one site or, with NULL, at all; exact but for a section
 * it is in. Counters are never set back, so a thread goes on from those of one that has ended: look
 * at differences. threads is 1; sites and, with a site, parks and handovers stay 0.
 * tx:    outside only   fork: the child's first thread goes on with the forking one's */
ELISION_API void elision_thread_stats(const elision_site_t *site, struct elision_stats *stats);

/* Call visit for each site that has been used and has state of its own; a result other than 0 stops
 * and is returned, otherwise 0. Nothing is held meanwhile: visit may enter sections and call any
 * function here. Sites first used meanwhile are not visited.
 * owner: name is valid during the call, and never NULL
 * tx:    outside only */
ELISION_API int elision_sites_visit(int (*visit)(const elision_site_t *site, const char *name,
                                                 void *arg),
                                    void *arg);

/* ret:   the name of an abort reason, as perf and this library's reports spell it; "unknown" for
 *        any other value. It lives as long as the library is loaded
 * tx:    safe */
ELISION_API const char *elision_abort_name(enum elision_abort reason);

/* Sets *parks and *handovers to a lock's own counters; same caveats as elision_stats. Neither
 * pointer may be NULL.
 * tx:    outside only */
ELISION_API void elision_lock_stats(const elision_lock_t *lock, uint64_t *parks,
                                    uint64_t *handovers);

/* --- Fork --------------------------------------------------------------------------------------*/

/* The library registers these with pthread_atfork when it is loaded. They are for programs that
 * make children by raw clone (with memory of their own, so not CLONE_VM) or _Fork, which call all
 * three: prepare before, then parent in the parent, even if there is no child, and child in the
 * child. Calling them again is harmless, as long as each prepare has its parent. Fork from a
 * section: the child is inside too (a fork in a speculative section aborts it, so it is a locked
 * one).
 * From prepare to parent or child the thread holds a mutex of the library: other threads that enter
 * their first section, or end, wait until then.
 * pre:   parent and child: the thread, or in the child the copy of it, that called prepare
 * tx:    outside only */
ELISION_API void elision_atfork_prepare(void);
ELISION_API void elision_atfork_parent(void);
ELISION_API void elision_atfork_child(void);

/* --- Helpers for embedders ---------------------------------------------------------------------*/

/* ret:   the library's version as "major.minor.patch"; lives as long as the library is loaded
 * tx:    safe */
ELISION_API const char *elision_version(void);

/* Print the whole state (verdict, backend, policy, every knob) as text on a file descriptor, as
 * ELISION_SHOW=1 does. Errors of writing are not reported: what can be written is.
 * tx:    outside only */
ELISION_API void elision_show(int fd);

#ifdef __cplusplus
}
#endif
#endif
