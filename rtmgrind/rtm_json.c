/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The report as JSON: totals, histograms, threads, sites, conflicts,
 * unfriendly.
 */

#include "rtm_count.h"

static VgFile *json;
static Bool first_item;

/* Bytes of the UTF-8 character at s, which is not ASCII; 0: it is none. RFC 3629, section 4. */
static Int
utf8_length(const UChar *s)
{
    const Int n = s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
    const UChar least = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
    const UChar most = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;
    Int i;

    for (i = 1; i < n; i++) {
        if (s[i] < (i == 1 ? least : 0x80) || s[i] > (i == 1 ? most : 0xBF)) {
            return 0;
        }
    }
    return n;
}

static void
json_string(const HChar *s)
{
    Int whole = 0; /* bytes left of a character */

    VG_(fprintf)(json, "\"");
    for (; *s; s++) {
        const UChar ch = *s;
        if (ch >= 0x80 && whole == 0) {
            whole = utf8_length((const UChar *)s);
        }
        if (ch >= 0x80 && whole == 0) {
            VG_(fprintf)(json, "\\ufffd");
        }
        else if (ch == '"' || ch == '\\') {
            VG_(fprintf)(json, "\\%c", ch);
        }
        else if (ch < 0x20) {
            VG_(fprintf)(json, "\\u%04x", ch);
        }
        else {
            VG_(fprintf)(json, "%c", ch);
        }
        whole -= whole > 0;
    }
    VG_(fprintf)(json, "\"");
}

static void
json_key(const HChar *key)
{
    VG_(fprintf)(json, first_item ? "" : ", ");
    first_item = False;
    json_string(key);
    VG_(fprintf)(json, ": ");
}

static void
json_num(const HChar *key, ULong value)
{
    json_key(key);
    VG_(fprintf)(json, "%llu", value);
}

static void
json_text(const HChar *key, const HChar *value)
{
    json_key(key);
    if (value) {
        json_string(value);
    }
    else {
        VG_(fprintf)(json, "null");
    }
}

static void
json_open(const HChar *key, const HChar *bracket)
{
    if (key) {
        json_key(key);
    }
    else if (!first_item) {
        VG_(fprintf)(json, ",\n  ");
    }
    VG_(fprintf)(json, "%s", bracket);
    first_item = True;
}

static void
json_close(const HChar *bracket)
{
    VG_(fprintf)(json, "%s", bracket);
    first_item = False;
}

static void
json_aborts(const ULong *by_cause)
{
    Int i;

    json_open("aborts", "{");
    for (i = 0; i < RTM_C_LAST; i++) {
        json_num(rtm_cause_name[i], by_cause[i]);
    }
    json_num("capacity", by_cause[RTM_C_CAPACITY_READ] + by_cause[RTM_C_CAPACITY_WRITE]);
    json_num("total", rtm_sum(by_cause));
    json_close("}");
}

static void
json_histogram(const HChar *key, const ULong *h)
{
    Int i;

    json_open(key, "[");
    for (i = 0; i < RTM_HIST; i++) {
        VG_(fprintf)(json, i ? ", %llu" : "%llu", h[i]);
    }
    json_close("]");
}

static void
json_totals(void)
{
    json_open("totals", "{");
    json_num("starts", rtm_counts.starts);
    json_num("commits", rtm_counts.commits);
    json_aborts(rtm_counts.aborts);
    json_num("makespan_cycles", rtm_sched_makespan());
    json_num("cycles_committed", rtm_counts.cycles_committed);
    json_num("cycles_aborted", rtm_counts.cycles_aborted);
    json_num("real_waits", rtm_nondeterministic);
    json_num("conflicts_unlisted", rtm_counts.conflicts_lost);
    json_num("mhz", rtm_opt.mhz);
    json_num("seed", rtm_opt.seed);
    json_text("preset", rtm_opt.preset);
    json_text("evidence", "emulated");
    json_close("}");
    json_open("histograms", "{");
    json_histogram("read_set_log2", rtm_counts.read_set);
    json_histogram("write_set_log2", rtm_counts.write_set);
    json_histogram("set_pressure", rtm_counts.pressure);
    json_close("}");
}

static void
json_thread(ThreadId tid, ULong starts, ULong commits, ULong aborts, ULong cycles)
{
    json_open(NULL, "{");
    json_num("tid", tid);
    json_num("starts", starts);
    json_num("commits", commits);
    json_num("aborts", aborts);
    json_num("cycles", cycles);
    json_close("}");
}

static void
json_threads(void)
{
    Int i;

    json_open("threads", "[");
    for (i = 0; i < rtm_n_ended; i++) {
        const struct rtm_ended *e = &rtm_ended[i];
        json_thread(e->tid, e->starts, e->commits, e->aborts, e->cycles);
    }
    for (i = 1; i < RTM_MAX_THREADS; i++) {
        const struct rtm_thread *t = &rtm_threads[i];
        if (t->tid != VG_INVALID_THREADID) {
            json_thread(t->tid, t->starts, t->commits, t->aborts, t->cpu);
        }
    }
    json_close("]");
}

static void
json_sites(void)
{
    HChar buf[256];
    UInt n, i;
    struct rtm_site **s = rtm_top_sites(&n);

    json_open("sites", "[");
    for (i = 0; i < n; i++) {
        json_open(NULL, "{");
        json_text("where", rtm_where(s[i]->pc, buf, sizeof buf));
        json_text("label", s[i]->label);
        json_num("starts", s[i]->starts);
        json_num("commits", s[i]->commits);
        json_aborts(s[i]->aborts);
        json_num("cycles_committed", s[i]->cycles_committed);
        json_num("cycles_aborted", s[i]->cycles_aborted);
        json_num("cycles_waiting", s[i]->cycles_waiting);
        json_num("longest", s[i]->longest);
        json_close("}");
    }
    json_close("]");
    VG_(free)(s);
}

static void
json_heap(const struct rtm_heap_place *heap)
{
    HChar buf[256];
    Int i;

    if (!heap->size) {
        return;
    }
    json_open("heap", "{");
    json_num("offset", heap->offset);
    json_num("size", heap->size);
    json_open("allocated_at", "[");
    for (i = 0; i < RTM_HEAP_FRAMES && heap->frames[i]; i++) {
        VG_(fprintf)(json, i ? ", " : "");
        json_string(rtm_where(heap->frames[i], buf, sizeof buf));
    }
    json_close("]");
    json_close("}");
}

static void
json_conflicts(void)
{
    HChar buf[256];
    UInt n, i;
    struct rtm_conflict **c = rtm_top_conflicts(&n);

    json_open("conflicts", "[");
    for (i = 0; i < n; i++) {
        json_open(NULL, "{");
        json_num("count", c[i]->count);
        json_text("data", rtm_what_is(c[i]->addr, buf, sizeof buf));
        json_num("address", c[i]->addr);
        json_num("offset_in_line", c[i]->addr & (RTM_LINE - 1));
        json_heap(&c[i]->heap);
        json_text("sharing", c[i]->true_sharing ? "true" : "false");
        json_text("victim_site", rtm_where(c[i]->victim_site->pc, buf, sizeof buf));
        json_text("victim_label", c[i]->victim_site->label);
        json_text("victim_access", rtm_where(c[i]->victim_pc, buf, sizeof buf));
        json_text("requester_access", rtm_where(c[i]->requester_pc, buf, sizeof buf));
        json_text("requester_site", c[i]->requester_site
                                        ? rtm_where(c[i]->requester_site->pc, buf, sizeof buf)
                                        : NULL);
        json_text("requester_label", c[i]->requester_site ? c[i]->requester_site->label : NULL);
        json_num("requester_writes", c[i]->writes);
        json_close("}");
    }
    json_close("]");
    VG_(free)(c);
}

static void
json_unfriendly(void)
{
    HChar buf[256];
    UInt n, i;
    struct rtm_unfriendly **u = rtm_top_unfriendly(&n);

    json_open("unfriendly", "[");
    for (i = 0; i < n; i++) {
        json_open(NULL, "{");
        json_text("what", u[i]->what);
        json_text("where", rtm_where(u[i]->pc, buf, sizeof buf));
        json_num("count", u[i]->count);
        json_close("}");
    }
    json_close("]");
    VG_(free)(u);
}

static HChar *
json_name(void)
{
    return VG_(expand_file_name)("--json", rtm_opt.json);
}

/* Where the report is put together: beside its place, to be renamed, so that a reader sees all or
 * nothing; in place if that is a device or a pipe. The caller frees it. */
static HChar *
part_name(const HChar *name, Bool *in_place)
{
    HChar *part = VG_(malloc)("rtm.json", VG_(strlen)(name) + 8);
    struct vg_stat st;

    *in_place = !sr_isError(VG_(stat)(name, &st)) && !VKI_S_ISREG(st.mode);
    VG_(sprintf)(part, *in_place ? "%s" : "%s.part", name);
    return part;
}

Bool
rtm_report_check(void)
{
    HChar *name = json_name();
    Bool in_place;
    HChar *part = part_name(name, &in_place);
    const SysRes r = VG_(open)(part, VKI_O_WRONLY | (in_place ? 0 : VKI_O_CREAT), 0666);

    if (!sr_isError(r)) {
        VG_(close)(sr_Res(r));
        if (!in_place) {
            VG_(unlink)(part);
        }
    }
    VG_(free)(part);
    VG_(free)(name);
    return !sr_isError(r);
}

void
rtm_json_report(void)
{
    HChar *name = json_name();
    Bool in_place;
    HChar *part = part_name(name, &in_place);

    json = VG_(fopen)(part, VKI_O_WRONLY | VKI_O_CREAT | VKI_O_TRUNC, 0666);
    if (!json) {
        VG_(umsg)("rtmgrind: cannot write %s\n", part);
        VG_(exit)(1);
    }
    first_item = True;
    json_open(NULL, "{");
    json_totals();
    json_threads();
    json_sites();
    json_conflicts();
    json_unfriendly();
    json_close("}");
    VG_(fprintf)(json, "\n");
    VG_(fclose)(json);
    if (!in_place) {
        VG_(rename)(part, name);
    }
    VG_(free)(part);
    VG_(free)(name);
}
