/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The report as text, on stderr.
 */

#include "rtm_count.h"

static void
percent(HChar *buf, SizeT size, ULong part, ULong whole)
{
    const ULong p = whole ? part * 1000 / whole : 0;

    VG_(snprintf)(buf, size, "%llu.%llu %%", p / 10, p % 10);
}

static void
text_totals(const HChar *name)
{
    HChar rate[32];
    Int i;

    percent(rate, sizeof rate, rtm_counts.commits, rtm_counts.starts);
    VG_(umsg)
    ("rtmgrind%s%s: %llu transactions, %llu committed (%s), %llu aborted\n", name ? " " : "",
     name ? name : "", rtm_counts.starts, rtm_counts.commits, rate, rtm_sum(rtm_counts.aborts));
    for (i = 0; i < RTM_C_LAST; i++) {
        if (rtm_counts.aborts[i]) {
            VG_(umsg)("  %-16s %12llu\n", rtm_cause_name[i], rtm_counts.aborts[i]);
        }
    }
    VG_(umsg)
    ("virtual time: %llu cycles (%llu us at %d MHz), committed %llu, wasted %llu\n",
     rtm_sched_makespan(), rtm_sched_makespan() / rtm_opt.mhz, rtm_opt.mhz,
     rtm_counts.cycles_committed, rtm_counts.cycles_aborted);
    if (rtm_nondeterministic) {
        VG_(umsg)
        ("%llu real waits in the kernel: this run may not repeat exactly\n", rtm_nondeterministic);
    }
}

static void
text_sites(void)
{
    HChar buf[256], rate[32];
    UInt n, i;
    struct rtm_site **s = rtm_top_sites(&n);

    if (n) {
        VG_(umsg)("sites: starts, commits, aborts, where; cycles\n");
    }
    for (i = 0; i < n; i++) {
        percent(rate, sizeof rate, s[i]->commits, s[i]->starts);
        VG_(umsg)
        ("  %10llu %10llu (%s) %10llu  %s%s%s\n", s[i]->starts, s[i]->commits, rate,
         rtm_sum(s[i]->aborts), rtm_where(s[i]->pc, buf, sizeof buf), s[i]->label ? " in " : "",
         s[i]->label ? s[i]->label : "");
        VG_(umsg)
        ("              committed %llu, aborted %llu, waiting %llu\n", s[i]->cycles_committed,
         s[i]->cycles_aborted, s[i]->cycles_waiting);
    }
    VG_(free)(s);
}

/* Who allocated the block that a conflict is about. */
static void
text_heap(const struct rtm_heap_place *heap)
{
    HChar buf[256];
    Int i;

    if (heap->size) {
        VG_(umsg)
        ("              %lu bytes into a block of %lu allocated at\n", heap->offset, heap->size);
    }
    for (i = 0; heap->size && i < RTM_HEAP_FRAMES && heap->frames[i]; i++) {
        VG_(umsg)("                %s\n", rtm_where(heap->frames[i], buf, sizeof buf));
    }
}

static void
text_conflicts(void)
{
    HChar v[256], r[256], d[256];
    UInt n, i;
    struct rtm_conflict **c = rtm_top_conflicts(&n);

    if (n) {
        VG_(umsg)("conflicts: count, data; victim's access; requester\n");
    }
    for (i = 0; i < n; i++) {
        VG_(umsg)
        ("  %10llu  %s, offset %lu in its line, %s sharing\n", c[i]->count,
         rtm_what_is(c[i]->addr, d, sizeof d), c[i]->addr & (RTM_LINE - 1),
         c[i]->true_sharing ? "true" : "false");
        VG_(umsg)
        ("              victim    %s%s%s\n", rtm_where(c[i]->victim_pc, v, sizeof v),
         c[i]->victim_site->label ? " in " : "",
         c[i]->victim_site->label ? c[i]->victim_site->label : "");
        VG_(umsg)
        ("              requester %s %s, %s\n", c[i]->writes ? "writes" : "reads",
         rtm_where(c[i]->requester_pc, r, sizeof r),
         c[i]->requester_site ? "in a transaction" : "outside transactions");
        text_heap(&c[i]->heap);
    }
    if (rtm_counts.conflicts_lost) {
        VG_(umsg)("  %llu conflicts more in places not listed\n", rtm_counts.conflicts_lost);
    }
    VG_(free)(c);
}

static void
text_unfriendly(void)
{
    HChar buf[256];
    UInt n, i;
    struct rtm_unfriendly **u = rtm_top_unfriendly(&n);

    if (n) {
        VG_(umsg)("unfriendly to transactions: count, what, where\n");
    }
    for (i = 0; i < n; i++) {
        VG_(umsg)
        ("  %10llu  %s  %s\n", u[i]->count, u[i]->what, rtm_where(u[i]->pc, buf, sizeof buf));
    }
    VG_(free)(u);
}

void
rtm_text_report(const HChar *name)
{
    text_totals(name);
    if (rtm_counts.starts) {
        text_sites();
        text_conflicts();
        text_unfriendly();
    }
}
