/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The table of cache lines: rtm_lines.c keeps it, rtm_track.c looks at every access.
 */

#ifndef RTM_LINES_H
#define RTM_LINES_H

#include "rtm_touch.h"

struct rtm_line {
    struct rtm_line *next;
    Addr addr;
    ULong readers; /* bit per core */
    Int writer;    /* core, or -1 */
    Int last;      /* core that has it to itself, or: */
    ULong arrives; /* when it comes to the core that asked for it last */
};
enum { RTM_UNKNOWN = -1, RTM_SHARED = -2 };

enum { RTM_BUCKET_BITS = 16, RTM_BUCKETS = 1 << RTM_BUCKET_BITS };
extern struct rtm_line *rtm_buckets[RTM_BUCKETS];

/* An access as the tables see it: part of one line. Two registers hold it. */
struct rtm_access {
    Addr at;    /* first byte accessed */
    UInt words; /* bit per 8-byte word of the line */
    Bool write;
};

static inline Addr
rtm_line_at(Addr a)
{
    return VG_ROUNDDN(a, RTM_LINE);
}

/* Neighbours lie side by side; what is 4 MiB apart, as stacks may be, does not come together. */
static inline struct rtm_line **
rtm_bucket(Addr line)
{
    return &rtm_buckets[(line / RTM_LINE + (line >> 22) * 0x9E37) % RTM_BUCKETS];
}

static inline struct rtm_line *
rtm_find_line(Addr line)
{
    struct rtm_line *l = *rtm_bucket(line);

    while (l && l->addr != line) {
        l = l->next;
    }
    return l;
}

struct rtm_line *rtm_find_or_add_line(Addr line);

/* Is it in the table only because somebody used it once? */
static inline Bool
rtm_is_idle(const struct rtm_line *l)
{
    return !l->readers && l->writer < 0 && l->last == RTM_UNKNOWN;
}

/* The part of the line in the n bytes from a on. */
static inline struct rtm_access
rtm_part_of(Addr line, Addr a, SizeT n, Bool write)
{
    const Addr from = a > line ? a - line : 0;
    const Addr to = a + n < line + RTM_LINE ? a + n - 1 - line : RTM_LINE - 1;
    const UInt words = (2u << to / 8) - (1u << from / 8);

    return (struct rtm_access){line + from, words, write};
}

/* Take l for an access by core `me` (-1: the kernel): whoever holds it in a
 * way that conflicts aborts. */
void rtm_take(const struct rtm_line *l, Int me, struct rtm_access x);

/* The running thread asks for a line that another core wrote last: that takes so many cycles. */
void rtm_charge_transfer(ULong cycles);

/* Has another core than this the line to itself? */
static inline Bool
rtm_is_elsewhere(const struct rtm_line *l, Int me)
{
    return l->last >= 0 && l->last != me;
}

/* The line has come to this core. A read leaves it shared, and reading shared lines is free: what
 * a core pays for the first read of a line in its life is not modelled. */
static inline void
rtm_line_comes(struct rtm_line *l, Int me, Bool write)
{
    if (rtm_is_elsewhere(l, me)) {
        l->last = RTM_SHARED;
    }
    if (write) {
        l->last = me;
    }
}

#endif
