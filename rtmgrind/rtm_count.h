/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What rtm_count.c counts, for the two reports that print it.
 *
 * A site is where a transaction begins: address of XBEGIN and the label the
 * thread had pushed.  Records are kept in hash tables that only grow; their
 * number is bounded by the program's code, and for conflicts by a cap.
 */

#ifndef RTM_COUNT_H
#define RTM_COUNT_H

#include "rtm_heap.h"
#include "pub_tool_hashtable.h"

enum { RTM_HIST = 18, RTM_MAX_CONFLICTS = 1 << 16 };

struct rtm_site {
    struct _VgHashNode *next; /* first two fields: VgHashNode */
    UWord key;
    Addr pc;
    const HChar *label;
    ULong starts, commits, aborts[RTM_C_LAST];
    ULong cycles_committed, cycles_aborted, cycles_waiting, longest;
};

struct rtm_conflict {
    struct rtm_conflict *next;
    UWord key;
    struct rtm_site *victim_site, *requester_site; /* latter may be NULL */
    Addr victim_pc, requester_pc, addr;
    struct rtm_heap_place heap;
    Bool true_sharing; /* both touched the same 8-byte word */
    ULong count, writes;
};

struct rtm_unfriendly {
    struct rtm_unfriendly *next;
    UWord key;
    const HChar *what;
    Addr pc;
    ULong count;
};

/* A thread that has ended; the last row is that of all beyond RTM_MAX_ENDED, with number 0. */
struct rtm_ended {
    ThreadId tid;
    ULong starts, commits, aborts, cycles;
};
enum { RTM_MAX_ENDED = 4096 };
extern struct rtm_ended *rtm_ended;
extern Int rtm_n_ended;

struct rtm_counts {
    ULong starts, commits, aborts[RTM_C_LAST];
    ULong cycles_committed, cycles_aborted, conflicts_lost;
    ULong read_set[RTM_HIST], write_set[RTM_HIST]; /* committed, by power of two */
    ULong pressure[RTM_HIST]; /* lines in the fullest set, at capacity aborts */
};
extern struct rtm_counts rtm_counts;

/* Sorted, most first, at most --top; *n says how many. The caller frees. */
struct rtm_site **rtm_top_sites(UInt *n);
struct rtm_conflict **rtm_top_conflicts(UInt *n);
struct rtm_unfriendly **rtm_top_unfriendly(UInt *n);

ULong rtm_sum(const ULong *by_cause);

/* "function (file:line)" of code and "symbol+offset" of data, into buf. */
const HChar *rtm_where(Addr pc, HChar *buf, SizeT size);
const HChar *rtm_what_is(Addr a, HChar *buf, SizeT size);

void rtm_text_report(const HChar *name);
void rtm_json_report(void);

#endif
