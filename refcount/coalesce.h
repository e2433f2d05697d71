/* SPDX-License-Identifier: MIT
 *
 * The coalescing table: reference count changes that meet before they reach the object.
 *
 * Inside a section a thread adds its changes to objects it does not own to a small table of its
 * own. An increment and its decrement cancel there, and the object's count, which every other
 * thread's transaction may have in its read set, is never written. What is left over (the net) is
 * applied by elision_coalesce_settle, inside the section, right before it ends.
 *
 * The table is plain memory written inside the transaction. When the transaction aborts, hardware
 * puts the table back as it was at the section's begin, which is empty of changes: discarding costs
 * nothing and needs no code. Nothing here may therefore be kept outside transactional memory.
 *
 *     section begins    elision_coalesce_begin(table, conflicts)
 *       incref, decref    elision_coalesce_add(table, object, +1 or -1)
 *       uniqueness test   elision_coalesce_flush(table, object), then read the count
 *     section ends      elision_coalesce_settle(table, ELISION_SETTLE_SECTION), then leave
 *
 * It fits any layout of objects: a table knows addresses, and changes counts by the embedder's
 * callbacks. It is not a reference count (refcount.h has one), and it is not for objects that only
 * one thread uses: those keep their plain counts.
 *
 *   slot of an object        absent --add--> net != 0 <--add--> net == 0 --evicted--> absent
 *   (in one section)                            |  settle, flush
 *                                               v
 *                                         applied to the object, net == 0
 *
 * Terms. real count: what the object's fields say. net: what this thread's table has for it. A loan
 * is a number of real references (its credit) that a table holds and serves later nets from.
 * true count = real count + nets - credits, over all threads.
 *
 * When an object may be freed. Only when its real count is 0. It is freed by the settle, flush or
 *   overflow that brings it there, so never while any table has credit for it, and never while a
 *   table has a positive net for it, given rule 1.
 * Rule 1. A thread may add +1 only for an object it found alive in this section: through a
 *   reference it holds, or through one it has read from memory that is changed in sections only.
 *   Who drops that reference writes what we read, and one of the two sections aborts or waits. So a
 *   transaction must not have escaped its conflict detection (TSXLDTRK) for that read. An object
 *   found weakly counts as found alive in a transaction that has read a real count above 0; in a
 *   locked section only if no thread drops references outside sections.
 * Rule 2. Every decrement of an object by a thread that does not own it goes through the table, if
 *   its increments may. Increments may bypass it: then the real count is only higher.
 * Rule 3. A thread whose table is active adds nothing for objects whose count it changes plainly as
 *   their owner, and an object does not become its own while the table has a net for it.
 * Rule 4. An object that is unique by its true count may be changed in place or moved only after
 *   elision_coalesce_flush: the table knows objects by address.
 *
 * Which thread destroys, and when. The thread that dropped the last reference, there and then, as
 *   without tables, if the embedder says what the real count is; otherwise at the section's end.
 *   With a loan open on the object in other tables, the last of these to return it destroys, in its
 *   thread: after at most 2 * ELISION_LOAN_SECTIONS + 1 more of that thread's sections, or at its
 *   next detach that is not quiet, collection or exit, whichever is first.
 * Weak references see the object as long as its real count is not 0.
 * Fork: a child has the forking thread's table as it was. Tables of other threads have no nets in
 *   the child (their transactions are gone; a locked section of another thread cannot be under way
 *   when the fork happens in one). Their loans stay real references until the child calls
 *   elision_coalesce_return on them.
 */
#ifndef ELISION_REFCOUNT_COALESCE_H
#define ELISION_REFCOUNT_COALESCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elision/elision.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Objects one section can have changes for; a power of two. 48 cache lines, 16 of them written. A
 * guess: several times what a section of an interpreter touches of foreign objects. */
#define ELISION_COALESCE_BITS 8
#define ELISION_COALESCE_SLOTS (1 << ELISION_COALESCE_BITS)

/* Slots an object may be in, from the one its address hashes to. */
#define ELISION_COALESCE_PROBES 16

/* Loans a thread may have open; at most 255. What they cost depends on how many there are. A
 * program with more shared objects in use than this conflicts in nearly every section: of a few
 * functions defined in functions each call counts every one of the variables they share. */
#define ELISION_LOANS 128

/* The most a loan's credit may be; one that must grow or shrink is made half of it, since the next
 * net may go either way. A guess: several times the references that the frames and temporaries of
 * one thread have to one object. */
#define ELISION_LOAN_CREDIT 16

/* Sections in which a loan served nothing, after which it is returned, unless its object was
 * touched meanwhile: then after as many more. To return it and to take it anew are writes, which
 * abort all that have read the object; and conflicts make sections short, by which loans end
 * sooner. Emulated, eight threads of functions made of functions (30 shared objects), 3 seeds: 64
 * sections 118 to 131 ms, 256 and 1024 66 to 70. */
#define ELISION_LOAN_SECTIONS 256

/* Objects a thread suspects of conflicts; sections after which suspicion is halved (a guess); and
 * how many sections that conflicts delayed must have touched an object before its owner is asked
 * to give its count up. */
#define ELISION_SUSPECTS 256
#define ELISION_SUSPECT_SECTIONS 1024
#define ELISION_SUSPECT_THRESHOLD 2

/* What the embedder does to an object's count. arg is the one given to elision_coalesce_init. All
 * are called on the table's thread, inside a section, with a table that is consistent: they may run
 * anything a section may, also elision_coalesce_add and a nested settle, except where it says
 * otherwise. None may allocate by a system call if the section is to stay a transaction. */
struct elision_coalesce_ops {
    /* Change the real count by delta (not 0), never through the table. Immortal objects are left
     * alone. ret: true if the real count is 0 now and the caller is to destroy the object */
    bool (*apply)(void *object, int32_t delta, void *arg);

    /* Destroy an object for which apply answered true. May add, settle, and end sections and begin
     * others. */
    void (*destroy)(void *object, void *arg);

    /* ret: the real count, owner's part included. NULL: that the last reference was dropped is only
     * found when the section ends, and loans that hold the last ones only by age. No calls to this
     * library. */
    int64_t (*count)(const void *object, void *arg);

    /* The object is suspected: sections that touched it were aborted by conflicts. Its owner should
     * give up its plain count, so that it too takes the table from then on. Called once while an
     * object is suspected, and again when suspicion returns after it had faded, from
     * elision_coalesce_add; the object is alive, and will be until the call returns. May be NULL.
     * No calls to this library but elision_irrevocable. */
    void (*suspect)(void *object, void *arg);
};

/* Counters of one table, by its thread only; those of aborted sections are undone with them. */
struct elision_coalesce_stats {
    uint64_t settles;   /* sections settled */
    uint64_t misses;    /* adds that did not find their object in its first slot */
    uint64_t overflows; /* adds that went to the object directly, for want of a slot */
    uint64_t applied;   /* nets that were written to their object */
    uint64_t served;    /* nets that a loan took up */
    uint64_t loans;     /* loans begun */
    uint64_t returns;   /* loans returned */
    uint64_t suspects;  /* objects whose owner was asked */
    uint64_t destroyed; /* objects destroyed */
};

/* A loan, or a candidate for one. Members are private. */
struct elision_loan_ {
    uintptr_t key_;
    int32_t credit_; /* 0: only a candidate */
    uint16_t idle_;  /* settles since it last served */
    uint16_t nets_;  /* sections that had a net for it; saturates */
};

/* One thread's table. Members are private. Its owner alone touches it. */
struct elision_coalesce {
    int32_t net_[ELISION_COALESCE_SLOTS];
    uintptr_t key_[ELISION_COALESCE_SLOTS] ELISION_ALIGNED;
    struct elision_loan_ loan_[ELISION_LOANS] ELISION_ALIGNED; /* the first loans_ of them */
    uint8_t loan_hint_[ELISION_COALESCE_SLOTS]; /* by an object's slot: 1 + where its loan may be */
    const struct elision_coalesce_ops *ops_ ELISION_ALIGNED;
    void *arg_;
    uint32_t loans_;       /* candidates too */
    uint32_t suspects_;    /* in use of suspect_key_ */
    uint32_t until_decay_; /* settles until suspicion is halved */
    bool learning_;        /* conflicts delayed this section */
    struct elision_coalesce_stats stats_;
    uintptr_t suspect_key_[ELISION_SUSPECTS] ELISION_ALIGNED;
    uint8_t suspect_score_[ELISION_SUSPECTS];
} ELISION_ALIGNED;

/* Make an empty table, and touch all of its memory so that no section faults on it.
 * pre:   table is aligned to 64 bytes, and lives until elision_coalesce_return has returned 0 and
 *        no section is under way; ops lives as long
 * tx:    outside only   owner: table and ops stay the caller's */
ELISION_API void elision_coalesce_init(struct elision_coalesce *table,
                                       const struct elision_coalesce_ops *ops, void *arg);

/* Continue elision_coalesce_add and elision_coalesce_begin. */
ELISION_API void elision_coalesce_add_slow_(struct elision_coalesce *table, void *object,
                                            int32_t delta);
ELISION_API void elision_coalesce_dropped_(struct elision_coalesce *table, void *object);
ELISION_API void elision_coalesce_learn_(struct elision_coalesce *table);

/* The slot an object's address hashes to. Two instructions: low bits are what differs. */
static inline uint32_t
elision_coalesce_slot_(const void *object)
{
    return ((uint32_t)(uintptr_t)object * 0x9e3779b1u) >> (32 - ELISION_COALESCE_BITS);
}

/* Change an object's count by delta, if the object is where the table looks first: the way that is
 * taken nearly always, for embedders that have checks of their own on the other.
 * pre:   as elision_coalesce_add
 * ret:   false: nothing was changed
 * tx:    as elision_coalesce_add */
static inline bool
elision_coalesce_try_add(struct elision_coalesce *table, void *object, int32_t delta)
{
    uint32_t slot = elision_coalesce_slot_(object);

    if (__builtin_expect(table->key_[slot] != (uintptr_t)object, 0)) {
        return false;
    }
    table->net_[slot] += delta;
    if (delta < 0 && __builtin_expect(table->net_[slot] < 0, 0)) {
        elision_coalesce_dropped_(table, object);
    }
    return true;
}

/* Change an object's count by delta, when this section ends and if anything is left of it then.
 * pre:   inside a section for which the table was begun; rules 1 to 3 above; object is not NULL;
 *        |delta| <= 1 << 20 (an embedder applies larger changes directly)
 * order: none; a section's end orders
 * tx:    safe; never allocates. May call apply and destroy (the last reference is dropped, or an
 *        overflow), and suspect */
static inline void
elision_coalesce_add(struct elision_coalesce *table, void *object, int32_t delta)
{
    if (!elision_coalesce_try_add(table, object, delta)) {
        elision_coalesce_add_slow_(table, object, delta);
    }
}

/* A section has begun. Not needed, but then nothing is learnt of conflicts, and no loans are made.
 * conflicts: how often a conflict aborted this section before it got going
 *        (elision_section_conflicts). Above 0, the objects this section touches become suspects. A
 *        section that conflicts have driven to the lock should use its table too, so as to learn:
 *        what it learns cannot be undone.
 * pre:   inside a section, before its first add
 * tx:    safe */
static inline void
elision_coalesce_begin(struct elision_coalesce *table, unsigned conflicts)
{
    if (__builtin_expect(conflicts != 0, 0)) {
        elision_coalesce_learn_(table);
    }
}

/* What a settle is for. */
enum elision_settle {
    ELISION_SETTLE_SECTION = 0, /* the section is about to be left or cut; loans stay and age */
    ELISION_SETTLE_DETACH = 1,  /* this thread will run no section for a while: return all loans */
    ELISION_SETTLE_QUIET = 2,   /* the same, where no destructor may run: loans that hold an
                                   object's last references end at the next; needs count */
};

/* Apply all nets, and destroy what dies of it, until nothing is left.
 * pre:   inside the section, as the last thing that can change counts before it is left. May be
 *        called from a destructor that settle itself runs, when that ends a section
 * ret:   how many objects were destroyed
 * tx:    safe */
ELISION_API unsigned elision_coalesce_settle(struct elision_coalesce *table,
                                             enum elision_settle what);

/* Apply what the table has for one object, and return its loan, so that its real count is what this
 * thread knows of it. To be called before a count decides something (is this the only reference?),
 * before an object is moved, and before its count is set outright. elision_coalesce_try_add does
 * not find the object afterwards, until elision_coalesce_add has been called for it.
 * pre:   inside the section; the caller has a reference of its own, so the object does not die
 * tx:    safe, but writes the object's count if there was anything */
ELISION_API void elision_coalesce_flush(struct elision_coalesce *table, void *object);

/* ret:   the net this thread's table has for the object: add it to the real count for display
 * tx:    safe */
ELISION_API int32_t elision_coalesce_net(const struct elision_coalesce *table, const void *object);

/* ret:   real references that this thread's table holds on loan: subtract them for display
 * tx:    safe */
ELISION_API int32_t elision_coalesce_credit(const struct elision_coalesce *table,
                                            const void *object);

/* Return all loans: at a collection, at thread exit, on demand. Destroys what dies of it. Nets
 * stay, and destructors may add some: a section that is under way settles as ever.
 * pre:   inside a section (or when no other thread can run one: collector, forked child); called on
 *        the table's thread, or while that thread is stopped outside sections or gone
 * ret:   how many objects were destroyed
 * tx:    safe */
ELISION_API unsigned elision_coalesce_return(struct elision_coalesce *table);

/* ret:   true if there are no nets and no loans: the table may be discarded, or its thread be left
 *        out of a collection
 * tx:    safe */
ELISION_API bool elision_coalesce_is_empty(const struct elision_coalesce *table);

/* ret:   how strongly the object is suspected; 0: not
 * tx:    safe */
ELISION_API unsigned elision_coalesce_suspicion(const struct elision_coalesce *table,
                                                const void *object);

/* tx:    safe */
static inline const struct elision_coalesce_stats *
elision_coalesce_stats(const struct elision_coalesce *table)
{
    return &table->stats_;
}

#ifdef __cplusplus
}
#endif
#endif
