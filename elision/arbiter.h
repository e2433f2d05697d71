/* SPDX-License-Identifier: MIT
 *
 * Is it worth it at all? A transaction that commits may still cost more than the lock would have,
 * and no thread can tell from its own aborts: a thread that takes the lock gains at the expense of
 * the others. So for each site that has trouble, all threads together try one way for a while, then
 * the other, and keep the one by which more sections were done, judged by the counts of all.
 *
 *     SPECULATING --aborts enough--> TRY_LOCK ---> LOCKED, or back: the better rate
 *     LOCKED      --time is over---> TRY_SPECULATION ---> SPECULATING, or back
 *
 * Every phase first settles, so that all threads follow, then counts. A trial ends as soon as its
 * count says clearly which way is better, and what it loses is no more than one part in RESTS of
 * what follows; when the other way had hardly been counted before, or by many fewer threads, that
 * is tried once more first. A choice that is confirmed lasts twice as long as before, up to a
 * limit. Meanwhile the rate is looked at: a choice is tried anew, before its time, when the lock's
 * rate has changed, when many more threads have come, or when speculating does hardly more than
 * the lock did. Time during which nobody asks is not counted.
 * So trials of the worse way cost little, and a change of phase in the program is noticed soon.
 *
 * Sections that are cut are no fixed work, so that their number says nothing. Their sites have one
 * arbiter together, which compares the checkpoints that are done (elision_progress). It is wary:
 * checkpoints are few, and a trial is short against them. What is not clear speaks for speculation,
 * until what trials have counted is clear when put together.
 */
#ifndef ELISION_ARBITER_H
#define ELISION_ARBITER_H

#include <stdbool.h>
#include <stdint.h>

#include "elision/elision.h"

enum elision_arbiter_phase {
    ELISION_ARBITER_SPECULATING = 0,
    ELISION_ARBITER_LOCKED = 1,
    ELISION_ARBITER_TRY_LOCK = 2,
    ELISION_ARBITER_TRY_SPECULATION = 3,
};

/* Sums over all threads, of one site or of all that are cut. */
struct elision_arbiter_sums {
    uint64_t sections; /* or checkpoints */
    uint64_t aborts;
    uint64_t lost;    /* cycles in aborted transactions, and waiting */
    uint32_t threads; /* that ever ran a section of the site, or tried to */
    uint64_t alone;   /* of sections, those that a thread did while it had nobody beside it */
};

/* What was done by one way, when last counted. */
struct elision_arbiter_count {
    uint64_t rate;     /* sections in 2^20 cycles */
    uint64_t sections; /* behind that rate */
    uint32_t threads;  /* there were then */
};

/* All zeros is a site never judged. */
struct elision_arbiter {
    enum elision_arbiter_phase phase;
    bool counting;                         /* threads have followed */
    struct elision_arbiter_count chosen;   /* what won; rate 0: none for this program */
    bool wary;                             /* a choice not yet confirmed is short; constant */
    bool odd;                              /* the last look was unlike those before */
    bool troubled;                         /* the last count had too many aborts */
    uint32_t pieces;                       /* of the trial under way, so far */
    uint32_t doubling;                     /* how often the choice was confirmed */
    uint64_t due;                          /* cycles; the next step */
    uint64_t soon;                         /* cycles; no trial before this, ... */
    uint64_t until;                        /* ... and one now, whatever is seen */
    struct elision_arbiter_count usual;    /* moving average since the choice */
    uint64_t trial;                        /* cycles; when the trial under way began */
    uint64_t piece;                        /* the rate of the piece before, in a trial */
    uint64_t began;                        /* cycles; of the count */
    struct elision_arbiter_sums sums;      /* at began */
    struct elision_arbiter_count count[2]; /* speculating, locked */
    struct elision_arbiter_count known[2]; /* a wary one's, from trials that were not clear, too */
};

/* One step; pure. Call it when now >= due.
 * ret:   true if sections should take the lock from now on */
bool elision_arbiter_step_(struct elision_arbiter *arbiter, uint64_t now,
                           const struct elision_arbiter_sums *sums);

/* The site's arbiter is moved on if it is time and no other thread does so; its answer is in the
 * site's off word.
 * ret:   true if it has changed its mind just now
 * tx:    outside only */
bool elision_arbiter_ask_(elision_site_t *site, uint64_t now);

/* In a forked child: no other thread is at any arbiter. */
void elision_arbiter_forked_(void);

#endif
