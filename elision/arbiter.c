/* SPDX-License-Identifier: MIT */
#include "elision/arbiter.h"

#include <string.h>

/* In cycles, all guesses that emulated runs bear out. */
#define PIECE_MIN 4000u   /* the first piece of a count: a few dozen short sections */
#define PIECE_MAX 128000u /* a trial that is not clear in a piece of this length is a tie */
#define LOOK 32000u       /* between two looks while nothing is tried */
#define IDLE_MAX 64000u   /* the same, at a site that speculates untroubled */
#define SETTLE 2000u      /* until threads that run follow a new phase, ... */
#define SETTLE_EACH 250u  /* ... and for each that has to be woken or to go to sleep */
#define TRIAL_MAX 128000u /* a longer trial was near a tie, and cost little */

/* What follows a choice lasts so many times what the trial has lost, twice as long each time the
 * choice is confirmed; speculation, which is watched meanwhile, longer still. */
#define RESTS 32u
#define LOSS_MIN 8u /* of 64: the part of a trial that counts as lost at least */
#define DOUBLINGS_MAX 2
#define WATCHED 8u

/* A wary one's first choice, and one against the last, lasts only so many times its trial, and what
 * is seen meanwhile is not relied on. */
#define WARY 2u

/* Less than this part of all threads' time lost, and fewer aborts than one in so many sections: no
 * trial. Transactions cost little then. */
#define TROUBLE 16u
#define TROUBLE_ABORTS 8u

/* For a wary one it is less than this part. Where two threads lose so much, what is left is little
 * more than what one does, which is all that the lock allows. */
#define WARY_TROUBLE 3u

/* What is known of either way loses one part of so many with each trial that is not clear, which
 * adds no more sections than this. */
#define KNOWN_PART 8u
#define KNOWN_MORE 1024u

/* So long without a question, and hardly anything done by threads beside each other: a pause. What
 * comes after it may be another program: so it counts so many times for the time that a choice
 * lasts. */
#define PAUSE 512000u
#define STALE 4u

/* Sections of the slower way that say something, and that say enough. */
#define SECTIONS_MIN 16u
#define SECTIONS_ENOUGH 64u

/* Rates this many 64ths apart differ by so much that nothing need be calculated. */
#define APART_MAX 256u

static void
settle(struct elision_arbiter *arbiter, enum elision_arbiter_phase phase, uint64_t now,
       const struct elision_arbiter_sums *sums)
{
    arbiter->phase = phase;
    arbiter->counting = false;
    arbiter->began = now;
    arbiter->sums = *sums;
    arbiter->due = now + SETTLE + (uint64_t)sums->threads * SETTLE_EACH;
}

static void
count_from(struct elision_arbiter *arbiter, uint64_t now, const struct elision_arbiter_sums *sums,
           uint64_t window)
{
    arbiter->counting = true;
    arbiter->began = now;
    arbiter->sums = *sums;
    arbiter->due = now + window;
}

static void
begin_trial(struct elision_arbiter *arbiter, uint64_t now, bool locked,
            const struct elision_arbiter_sums *sums)
{
    arbiter->trial = now;
    arbiter->piece = 0;
    arbiter->pieces = 0;
    settle(arbiter, locked ? ELISION_ARBITER_TRY_SPECULATION : ELISION_ARBITER_TRY_LOCK, now, sums);
}

/* By how much two rates are apart, in 64ths of the lower one; at most APART_MAX, so that nothing
 * overflows. */
static uint64_t
apart(const struct elision_arbiter_count *a, const struct elision_arbiter_count *b)
{
    uint64_t low = a->rate < b->rate ? a->rate : b->rate;
    uint64_t by = a->rate < b->rate ? b->rate - a->rate : a->rate - b->rate;

    return by >= APART_MAX / 64 * low ? APART_MAX : by * 64 / (low + 1);
}

/* The two rates differ by more than chance would have it: by three times the error of a count of
 * independent events. */
static bool
clear(const struct elision_arbiter_count *a, const struct elision_arbiter_count *b)
{
    uint64_t fewer = a->sections < b->sections ? a->sections : b->sections;
    uint64_t parts = apart(a, b);

    return (fewer >= SECTIONS_MIN && parts * parts * fewer > 9 * 64 * 64) ||
           (parts == APART_MAX && a->sections + b->sections >= SECTIONS_ENOUGH);
}

static void
learn(struct elision_arbiter_count *known, const struct elision_arbiter_count *count)
{
    uint64_t old = known->sections - known->sections / KNOWN_PART;
    uint64_t more = count->sections < KNOWN_MORE ? count->sections : KNOWN_MORE;

    known->rate = (known->rate * old + count->rate * more) / (old + more + 1);
    known->sections = old + more;
}

/* A wary one's trials are short against what its sections differ by. One that is clear speaks for
 * itself; others are put together until they are.
 * ret:   true if what is known is clear */
static bool
weigh(struct elision_arbiter *arbiter)
{
    if (clear(&arbiter->count[0], &arbiter->count[1])) {
        memcpy(arbiter->known, arbiter->count, sizeof arbiter->known);
        return true;
    }
    learn(&arbiter->known[0], &arbiter->count[0]);
    learn(&arbiter->known[1], &arbiter->count[1]);
    return clear(&arbiter->known[0], &arbiter->known[1]);
}

/* The better of the two rates has been found out. */
static void
choose(struct elision_arbiter *arbiter, uint64_t now, bool was_locked,
       const struct elision_arbiter_sums *sums)
{
    /* The lock must be better by 3 %: a tie is a matter of noise, and speculation scales. */
    bool sure = !arbiter->wary || weigh(arbiter);
    const struct elision_arbiter_count *count = arbiter->wary ? arbiter->known : arbiter->count;
    bool locked = count[1].rate * 100 > count[0].rate * 103 && sure;
    uint64_t better = count[locked].rate;
    uint64_t worse = count[!locked].rate < better ? count[!locked].rate : better;
    uint64_t loss = (better - worse) * 64 / (better + 1);
    uint64_t trial = now - arbiter->trial; /* a wary one's threads may have slept in it */
    trial = arbiter->wary || trial < TRIAL_MAX ? trial : TRIAL_MAX;

    bool sudden = arbiter->wary && (locked != was_locked || arbiter->chosen.rate == 0);
    if (locked != was_locked) {
        arbiter->doubling = 0;
    }
    else if (arbiter->doubling < DOUBLINGS_MAX && !arbiter->wary) {
        arbiter->doubling++;
    }
    /* In proportion to what the next trial of the worse way will cost. */
    uint64_t length = RESTS * trial * (loss > LOSS_MIN ? loss : LOSS_MIN) / 64;
    length = sudden ? WARY * trial : length << arbiter->doubling;
    arbiter->soon = now + length / 4;
    /* Speculation that gets no better than the lock is noticed without a trial. */
    arbiter->until = now + (locked || sudden || !sure ? length : length * WATCHED);
    arbiter->chosen = count[locked];
    arbiter->usual = (struct elision_arbiter_count){.rate = 0};
    arbiter->odd = false;
    settle(arbiter, locked ? ELISION_ARBITER_LOCKED : ELISION_ARBITER_SPECULATING, now, sums);
}

static bool
is_locked(const struct elision_arbiter *arbiter)
{
    return arbiter->phase == ELISION_ARBITER_LOCKED || arbiter->phase == ELISION_ARBITER_TRY_LOCK;
}

static bool
is_trial(const struct elision_arbiter *arbiter)
{
    return arbiter->phase == ELISION_ARBITER_TRY_LOCK ||
           arbiter->phase == ELISION_ARBITER_TRY_SPECULATION;
}

/* Aborts, several by each thread, and hardly a section: no need to count more. */
static bool
is_hopeless(const struct elision_arbiter *arbiter, const struct elision_arbiter_sums *sums)
{
    uint64_t done = sums->sections - arbiter->sums.sections;
    uint64_t aborts = sums->aborts - arbiter->sums.aborts;

    return !is_locked(arbiter) && aborts >= SECTIONS_MIN && aborts >= 4 * (done + sums->threads);
}

/* So many more threads than there were that rates of then and now do not compare. */
static bool
have_come(uint32_t were, const struct elision_arbiter_sums *sums)
{
    return 2 * sums->threads > 3 * were;
}

/* Where all take the lock, the rate is steady as long as the program does the same, but for a
 * single look. It is compared with what it was at the choice: threads come to a new phase one after
 * the other, and a moving average comes with them. Only a wary one's trial is too short for that.
 * Where they speculate the rate is not steady; but it matters only when it has become worse and the
 * lock may be as good. */
static bool
has_changed(struct elision_arbiter *arbiter, const struct elision_arbiter_count *seen)
{
    if (!is_locked(arbiter)) {
        return arbiter->usual.sections != 0 &&
               arbiter->usual.rate * 4 < arbiter->count[1].rate * 5 &&
               arbiter->usual.rate * 8 < arbiter->chosen.rate * 7;
    }
    const struct elision_arbiter_count *was = arbiter->wary ? &arbiter->usual : &arbiter->chosen;
    bool odd = arbiter->odd;
    arbiter->odd = was->sections != 0 && clear(was, seen) && apart(was, seen) > APART_MAX / 16;
    return odd && arbiter->odd;
}

/* A moving average of what is seen. */
static void
remember(struct elision_arbiter_count *usual, const struct elision_arbiter_count *seen)
{
    if (usual->sections == 0) {
        *usual = *seen;
        return;
    }
    usual->rate = usual->rate - usual->rate / 4 + seen->rate / 4;
    usual->sections += seen->sections;
    usual->threads = seen->threads;
}

/* Nothing is being tried; seen has been counted for length. A trial is due when the choice has
 * stood its time, and sooner when the program is not what it was when the choice was made. */
static void
look(struct elision_arbiter *arbiter, uint64_t now, uint64_t length,
     const struct elision_arbiter_sums *sums)
{
    bool locked = is_locked(arbiter);
    const struct elision_arbiter_count *seen = &arbiter->count[locked];
    uint64_t aborts = sums->aborts - arbiter->sums.aborts;
    bool enough = seen->sections + aborts >= SECTIONS_ENOUGH || length >= IDLE_MAX ||
                  is_hopeless(arbiter, sums);
    bool changed = enough && has_changed(arbiter, seen) && now >= arbiter->soon;

    uint64_t trouble = arbiter->wary ? WARY_TROUBLE : TROUBLE;

    if (locked && enough && sums->threads == arbiter->sums.threads &&
        have_come(arbiter->count[0].threads, sums)) {
        changed = true; /* as many as these now are have not been seen to speculate */
    }
    if (!locked && aborts * TROUBLE_ABORTS <= seen->sections &&
        (sums->lost - arbiter->sums.lost) * trouble <= length * sums->threads) {
        arbiter->troubled = false;
        count_from(arbiter, now, sums, length < IDLE_MAX / 2 ? length * 2 : IDLE_MAX);
        return;
    }
    bool first = !arbiter->troubled;
    arbiter->troubled = true;
    if (!locked && first && length > LOOK) {
        count_from(arbiter, now, sums, PIECE_MIN); /* that was of what had been before, too */
    }
    else if (!enough) {
        arbiter->due = now + length; /* the count goes on, twice as long */
    }
    else if (now < arbiter->until && !changed) {
        if (length >= LOOK && !arbiter->odd) {
            remember(&arbiter->usual, seen);
        }
        count_from(arbiter, now, sums, LOOK);
    }
    else {
        if ((!locked || !changed) && arbiter->usual.sections != 0) {
            arbiter->count[locked] = arbiter->usual;
        }
        begin_trial(arbiter, now, locked, sums);
    }
}

/* A piece of a trial has been counted for length. As long as each is better than the one before,
 * by an eighth and by an eighth of what is missing, threads are still coming; that says nothing
 * against the way that is tried. */
static void
judge_trial(struct elision_arbiter *arbiter, uint64_t now, uint64_t length,
            const struct elision_arbiter_sums *sums)
{
    bool locked = is_locked(arbiter);
    uint64_t rate = arbiter->count[locked].rate;
    uint64_t other = arbiter->count[!locked].rate;
    uint64_t missing = other > arbiter->piece ? other - arbiter->piece : 0;
    uint64_t little = (missing > rate ? missing : rate) / 8;
    /* Threads that run follow at once, those that sleep do not. */
    bool steady =
        arbiter->pieces > 0 ? rate <= arbiter->piece + little : locked && rate < other / 3;

    arbiter->piece = rate;
    arbiter->pieces++;
    bool enough = arbiter->count[locked].sections >= SECTIONS_ENOUGH;
    bool known = rate > other ? enough : steady && (enough || !arbiter->wary);
    bool other_known = arbiter->count[!locked].sections >= SECTIONS_MIN &&
                       !have_come(arbiter->count[!locked].threads, sums);

    if ((known && clear(&arbiter->count[0], &arbiter->count[1])) ||
        (is_hopeless(arbiter, sums) && rate < other)) {
        choose(arbiter, now, !locked, sums);
    }
    else if (steady && enough && !other_known) {
        begin_trial(arbiter, now, locked, sums); /* the other way once more */
    }
    else if (length >= PIECE_MAX) {
        choose(arbiter, now, !locked, sums);
    }
    else if (steady) {
        arbiter->due = now + length; /* the count goes on, twice as long */
    }
    else {
        count_from(arbiter, now, sums, length);
    }
}

/* Since arbiter->began the threads have not even wanted the lock, for the most part. */
static bool
are_idle(const struct elision_arbiter *arbiter, uint64_t now,
         const struct elision_arbiter_sums *sums)
{
    return (sums->lost - arbiter->sums.lost) * TROUBLE <= (now - arbiter->began) * sums->threads;
}

/* Nobody came for more than as long again as was to be counted: perhaps the program was busy with
 * something else, and the rate says nothing, unless it is the better one all the same. The next
 * count is longer, for sections may be, too. If a trial's pause was long and little was lost in it,
 * the threads did not even want the lock: what follows may be another program, and the choice its
 * first. Shorter ones are those of a barrier. */
static bool
is_void(struct elision_arbiter *arbiter, uint64_t now, uint64_t rate,
        const struct elision_arbiter_sums *sums)
{
    bool locked = is_locked(arbiter);
    uint64_t window = arbiter->due - arbiter->began;
    uint64_t length = now - arbiter->began;

    if (length <= 2 * window || (is_trial(arbiter) && rate > arbiter->count[!locked].rate)) {
        return false;
    }
    if (is_trial(arbiter) && length >= IDLE_MAX && are_idle(arbiter, now, sums)) {
        arbiter->chosen.rate = 0;
    }
    arbiter->trial += length;
    count_from(arbiter, now, sums, 2 * window);
    return true;
}

/* A piece of the count is complete. */
static void
judge(struct elision_arbiter *arbiter, uint64_t now, const struct elision_arbiter_sums *sums)
{
    uint64_t done = sums->sections - arbiter->sums.sections;
    uint64_t length = now - arbiter->began;
    uint64_t rate = (done << 20) / (length + 1);

    if (is_void(arbiter, now, rate, sums)) {
        return;
    }
    arbiter->count[is_locked(arbiter)] = (struct elision_arbiter_count){rate, done, sums->threads};
    switch (arbiter->phase) {
    case ELISION_ARBITER_SPECULATING:
    case ELISION_ARBITER_LOCKED: look(arbiter, now, length, sums); break;
    case ELISION_ARBITER_TRY_LOCK:
    case ELISION_ARBITER_TRY_SPECULATION: judge_trial(arbiter, now, length, sums); break;
    }
}

static bool
is_pause(const struct elision_arbiter *arbiter, uint64_t now,
         const struct elision_arbiter_sums *sums)
{
    uint64_t done = sums->sections - arbiter->sums.sections;

    return now - arbiter->began >= PAUSE && 2 * (sums->alone - arbiter->sums.alone) >= done &&
           are_idle(arbiter, now, sums);
}

/* After a pause. A trial is given up: the two rates would be those of two programs. A choice for
 * the lock has become older by more than the pause; that to speculate does little harm where it is
 * wrong, and is watched. */
static void
resume(struct elision_arbiter *arbiter, uint64_t now, const struct elision_arbiter_sums *sums)
{
    if (arbiter->phase == ELISION_ARBITER_LOCKED) {
        uint64_t rest = arbiter->until > now ? arbiter->until - now : 0;
        uint64_t stale = STALE * (now - arbiter->began);
        arbiter->until -= rest < stale ? rest : stale;
    }
    else if (is_trial(arbiter)) {
        arbiter->phase = is_locked(arbiter) ? ELISION_ARBITER_SPECULATING : ELISION_ARBITER_LOCKED;
        arbiter->usual = (struct elision_arbiter_count){.rate = 0};
        arbiter->chosen.rate = 0;
        arbiter->odd = false;
    }
    count_from(arbiter, now, sums, PIECE_MIN);
}

bool
elision_arbiter_step_(struct elision_arbiter *arbiter, uint64_t now,
                      const struct elision_arbiter_sums *sums)
{
    if (is_pause(arbiter, now, sums)) {
        resume(arbiter, now, sums);
    }
    /* A count during which many threads came is void. */
    else if (!arbiter->counting ||
             (have_come(arbiter->sums.threads, sums) && !is_hopeless(arbiter, sums))) {
        count_from(arbiter, now, sums, PIECE_MIN);
    }
    else {
        judge(arbiter, now, sums);
    }
    return is_locked(arbiter);
}
