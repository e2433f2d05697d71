/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Counts by site, by conflict and by unfriendly instruction, and the two ways
 * to print them: text on stderr and JSON.
 *
 * A site is where a transaction begins: address of XBEGIN and the label the
 * thread had pushed.  Records are kept in hash tables that only grow; their
 * number is bounded by the program's code, and for conflicts by a cap.
 */

#include "rtm_priv.h"
#include "pub_tool_debuginfo.h"
#include "pub_tool_hashtable.h"

enum { HIST = 18, MAX_CONFLICTS = 1 << 16 };

struct rtm_site {
    struct _VgHashNode *next; /* first two fields: VgHashNode */
    UWord key;
    Addr pc;
    const HChar *label;
    ULong starts, commits, aborts[RTM_C_LAST];
    ULong cycles_committed, cycles_aborted, cycles_waiting, longest;
};

struct conflict {
    struct conflict *next;
    UWord key;
    struct rtm_site *victim_site, *requester_site; /* latter may be NULL */
    Addr victim_pc, requester_pc, addr;
    Bool true_sharing; /* both touched the same 8-byte word */
    ULong count, writes;
};

struct unfriendly {
    struct unfriendly *next;
    UWord key;
    const HChar *what;
    Addr pc;
    ULong count;
};

struct interned {
    struct interned *next;
    UWord key;
    HChar *s;
};

static VgHashTable *sites, *conflicts, *unfriendlies, *strings;
static ULong starts, commits, aborts[RTM_C_LAST];
static ULong cycles_committed, cycles_aborted, conflicts_lost;
static ULong hist_read[HIST], hist_write[HIST]; /* committed, by power of two */
static ULong hist_pressure[HIST]; /* lines in the fullest set, at capacity aborts */

static UWord
mix(UWord h, UWord v)
{
    return (h ^ v) * 0x9E3779B97F4A7C15ULL ^ (h >> 29);
}

static UWord
hash_string(const HChar *s)
{
    UWord h = 1469598103934665603ULL;

    for (; s && *s; s++) {
        h = (h ^ (UChar)*s) * 1099511628211ULL;
    }
    return h;
}

static void
init(void)
{
    if (!sites) {
        sites = VG_(HT_construct)("rtm.sites");
        conflicts = VG_(HT_construct)("rtm.conflicts");
        unfriendlies = VG_(HT_construct)("rtm.unfriendly");
        strings = VG_(HT_construct)("rtm.strings");
    }
}

const HChar *
rtm_intern(const HChar *s)
{
    const UWord key = hash_string(s);
    struct interned *n;

    init();
    n = VG_(HT_lookup)(strings, key);
    if (!n) {
        n = VG_(malloc)("rtm.string", sizeof *n);
        n->key = key;
        n->s = VG_(strdup)("rtm.label", s);
        VG_(HT_add_node)(strings, n);
    }
    return n->s;
}

struct rtm_site *
rtm_site_of(Addr pc, const HChar *label)
{
    const UWord key = mix(pc, (UWord)label);
    struct rtm_site *s;

    init();
    s = VG_(HT_lookup)(sites, key);
    if (!s) {
        s = VG_(calloc)("rtm.site", 1, sizeof *s);
        s->key = key;
        s->pc = pc;
        s->label = label;
        VG_(HT_add_node)(sites, s);
    }
    return s;
}

static Int
log2_bucket(ULong n)
{
    Int b = 0;

    while (n > 0 && b < HIST - 1) {
        n >>= 1;
        b++;
    }
    return b; /* 0: none, b: 2^(b-1) .. 2^b - 1 */
}

/* ------------------------------------------------------------------ */
/* Counting                                                            */

void
rtm_count_begin(struct rtm_thread *t)
{
    struct rtm_site *s = t->tx.site;

    starts++;
    t->starts++;
    s->starts++;
    if (t->aborted_at) {
        s->cycles_waiting += t->tx.begin_clock - t->aborted_at;
        t->aborted_at = 0;
    }
}

void
rtm_count_commit(struct rtm_thread *t, ULong cycles)
{
    struct rtm_site *s = t->tx.site;

    commits++;
    t->commits++;
    s->commits++;
    s->cycles_committed += cycles;
    cycles_committed += cycles;
    if (cycles > s->longest) {
        s->longest = cycles;
    }
    hist_read[log2_bucket(t->tx.n_read)]++;
    hist_write[log2_bucket(t->tx.n_write)]++;
}

static void
count_pressure(const struct rtm_tx *tx)
{
    Int i, most = 0;

    for (i = 0; i < rtm_opt.sets; i++) {
        if (tx->set_count[i] > most) {
            most = tx->set_count[i];
        }
    }
    hist_pressure[most < HIST ? most : HIST - 1]++;
}

void
rtm_count_abort(struct rtm_thread *t, ULong cycles)
{
    struct rtm_site *s = t->tx.site;
    const enum rtm_cause cause = t->tx.cause;

    aborts[cause]++;
    t->aborts++;
    s->aborts[cause]++;
    s->cycles_aborted += cycles;
    cycles_aborted += cycles;
    if (cause == RTM_C_CAPACITY_WRITE) {
        count_pressure(&t->tx);
    }
}

/* The victim's access that matters: to a word that both touched, else to any. */
static Addr
victims_pc(const struct rtm_touch *at, UChar shared)
{
    const UChar words = shared ? shared : at ? at->words : 0;

    return words ? at->pc[__builtin_ctz(words)] : 0;
}

void
rtm_count_conflict(struct rtm_thread *victim, const struct rtm_touch *at,
                   Addr a, UChar words, Bool requester_writes)
{
    const Bool true_sharing = at && (at->words & words);
    struct rtm_site *vs = victim->tx.site;
    struct rtm_site *rs = rtm_cur && rtm_cur->tx.state != RTM_TX_NONE
                              ? rtm_cur->tx.site
                              : NULL;
    const Addr rpc = rtm_cur ? VG_(get_IP)(rtm_cur->tid) : 0;
    const Addr vpc = victims_pc(at, true_sharing ? at->words & words : 0);
    const Addr line = VG_ROUNDDN(a, RTM_LINE);
    const UWord key = mix(mix(mix(vs->key, vpc), rpc), line + true_sharing);
    struct conflict *c = VG_(HT_lookup)(conflicts, key);

    if (!c) {
        if (VG_(HT_count_nodes)(conflicts) >= MAX_CONFLICTS) {
            conflicts_lost++;
            return;
        }
        c = VG_(calloc)("rtm.conflict", 1, sizeof *c);
        c->key = key;
        c->victim_site = vs;
        c->requester_site = rs;
        c->victim_pc = vpc;
        c->requester_pc = rpc;
        c->addr = a;
        c->true_sharing = true_sharing;
        VG_(HT_add_node)(conflicts, c);
    }
    c->count++;
    c->writes += requester_writes;
}

void
rtm_count_unfriendly(const HChar *what, Addr pc)
{
    const UWord key = mix(hash_string(what), pc);
    struct unfriendly *u;

    init();
    u = VG_(HT_lookup)(unfriendlies, key);
    if (!u) {
        u = VG_(calloc)("rtm.unfriendly", 1, sizeof *u);
        u->key = key;
        u->what = what;
        u->pc = pc;
        VG_(HT_add_node)(unfriendlies, u);
    }
    u->count++;
}

void
rtm_report_reset(void)
{
    struct rtm_site *s;
    Int i;

    init();
    starts = commits = cycles_committed = cycles_aborted = conflicts_lost = 0;
    VG_(memset)(aborts, 0, sizeof aborts);
    VG_(memset)(hist_read, 0, sizeof hist_read);
    VG_(memset)(hist_write, 0, sizeof hist_write);
    VG_(memset)(hist_pressure, 0, sizeof hist_pressure);
    VG_(HT_destruct)(conflicts, VG_(free));
    VG_(HT_destruct)(unfriendlies, VG_(free));
    conflicts = VG_(HT_construct)("rtm.conflicts");
    unfriendlies = VG_(HT_construct)("rtm.unfriendly");
    VG_(HT_ResetIter)(sites);
    while ((s = VG_(HT_Next)(sites)) != NULL) { /* live transactions point here */
        s->starts = s->commits = 0;
        s->cycles_committed = s->cycles_aborted = s->cycles_waiting = 0;
        s->longest = 0;
        VG_(memset)(s->aborts, 0, sizeof s->aborts);
    }
    for (i = 0; i < RTM_MAX_THREADS; i++) {
        rtm_threads[i].starts = rtm_threads[i].commits = rtm_threads[i].aborts = 0;
    }
}

/* ------------------------------------------------------------------ */
/* Sorting                                                             */

static ULong
site_aborts(const struct rtm_site *s)
{
    ULong n = 0;
    Int i;

    for (i = 0; i < RTM_C_LAST; i++) {
        n += s->aborts[i];
    }
    return n;
}

static Int
by_starts(const void *a, const void *b)
{
    const struct rtm_site *x = *(struct rtm_site *const *)a;
    const struct rtm_site *y = *(struct rtm_site *const *)b;

    return x->starts != y->starts ? (x->starts < y->starts ? 1 : -1)
                                  : (x->key < y->key ? 1 : -1);
}

static Int
by_count(const void *a, const void *b)
{
    const struct conflict *x = *(struct conflict *const *)a;
    const struct conflict *y = *(struct conflict *const *)b;

    return x->count != y->count ? (x->count < y->count ? 1 : -1)
                                : (x->key < y->key ? 1 : -1);
}

static Int
by_count_u(const void *a, const void *b)
{
    const struct unfriendly *x = *(struct unfriendly *const *)a;
    const struct unfriendly *y = *(struct unfriendly *const *)b;

    return x->count != y->count ? (x->count < y->count ? 1 : -1)
                                : (x->key < y->key ? 1 : -1);
}

/* The table's nodes, most first; the caller frees the array. */
static void **
sorted(VgHashTable *table, UInt *n, Int (*compare)(const void *, const void *))
{
    void **a = (void **)VG_(HT_to_array)(table, n);

    if (*n > 1) {
        VG_(ssort)(a, *n, sizeof *a, compare);
    }
    return a;
}

static UInt
top(UInt n)
{
    return n < (UInt)rtm_opt.top ? n : (UInt)rtm_opt.top;
}

/* ------------------------------------------------------------------ */
/* Names                                                               */

/* "function (file:line)" into buf. */
static const HChar *
where(Addr pc, HChar *buf, SizeT size)
{
    const DiEpoch ep = VG_(current_DiEpoch)();
    const HChar *fn, *file, *dir;
    UInt line;
    Int n;

    if (!pc) {
        return "the kernel";
    }
    if (!VG_(get_fnname_w_offset)(ep, pc, &fn)) {
        VG_(snprintf)(buf, size, "0x%lx", pc);
        return buf;
    }
    n = VG_(snprintf)(buf, size, "%s", fn);
    if (VG_(get_filename_linenum)(ep, pc, &file, &dir, &line) && n < (Int)size) {
        VG_(snprintf)(buf + n, size - n, " (%s:%u)", file, line);
    }
    return buf;
}

static const HChar *
what_is(Addr a, HChar *buf, SizeT size)
{
    const HChar *name;
    PtrdiffT offset;

    if (VG_(get_datasym_and_offset)(VG_(current_DiEpoch)(), a, &name, &offset)) {
        VG_(snprintf)(buf, size, "%s+%ld", name, offset);
    } else {
        const NSegment *seg = VG_(am_find_nsegment)(a);
        VG_(snprintf)(buf, size, "0x%lx%s", a,
                      seg && seg->isCH ? " (heap)" : "");
    }
    return buf;
}

/* ------------------------------------------------------------------ */
/* Text                                                                */

static ULong
total_aborts(void)
{
    ULong n = 0;
    Int i;

    for (i = 0; i < RTM_C_LAST; i++) {
        n += aborts[i];
    }
    return n;
}

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

    percent(rate, sizeof rate, commits, starts);
    VG_(umsg)("rtmgrind%s%s: %llu transactions, %llu committed (%s), %llu aborted\n",
              name ? " " : "", name ? name : "", starts, commits, rate,
              total_aborts());
    for (i = 0; i < RTM_C_LAST; i++) {
        if (aborts[i]) {
            VG_(umsg)("  %-16s %12llu\n", rtm_cause_name[i], aborts[i]);
        }
    }
    VG_(umsg)("virtual time: %llu cycles (%llu us at %d MHz), committed %llu, wasted %llu\n",
              rtm_sched_makespan(), rtm_sched_makespan() / rtm_opt.mhz,
              rtm_opt.mhz, cycles_committed, cycles_aborted);
    if (rtm_nondeterministic) {
        VG_(umsg)("%llu real waits in the kernel: this run may not repeat exactly\n",
                  rtm_nondeterministic);
    }
}

static void
text_sites(void)
{
    HChar buf[256], rate[32];
    UInt n, i;
    struct rtm_site **s = (struct rtm_site **)sorted(sites, &n, by_starts);

    if (n && s[0]->starts) {
        VG_(umsg)("sites: starts, commits, aborts, where\n");
    }
    for (i = 0; i < top(n) && s[i]->starts; i++) {
        percent(rate, sizeof rate, s[i]->commits, s[i]->starts);
        VG_(umsg)("  %10llu %10llu (%s) %10llu  %s%s%s\n", s[i]->starts,
                  s[i]->commits, rate, site_aborts(s[i]),
                  where(s[i]->pc, buf, sizeof buf), s[i]->label ? " in " : "",
                  s[i]->label ? s[i]->label : "");
    }
    VG_(free)(s);
}

static void
text_conflicts(void)
{
    HChar v[256], r[256], d[256];
    UInt n, i;
    struct conflict **c = (struct conflict **)sorted(conflicts, &n, by_count);

    if (n) {
        VG_(umsg)("conflicts: count, data; victim's access; requester\n");
    }
    for (i = 0; i < top(n); i++) {
        VG_(umsg)("  %10llu  %s, offset %lu in its line, %s sharing\n",
                  c[i]->count, what_is(c[i]->addr, d, sizeof d),
                  c[i]->addr & (RTM_LINE - 1),
                  c[i]->true_sharing ? "true" : "false");
        VG_(umsg)("              victim    %s%s%s\n",
                  where(c[i]->victim_pc, v, sizeof v),
                  c[i]->victim_site->label ? " in " : "",
                  c[i]->victim_site->label ? c[i]->victim_site->label : "");
        VG_(umsg)("              requester %s %s, %s\n",
                  c[i]->writes ? "writes" : "reads",
                  where(c[i]->requester_pc, r, sizeof r),
                  c[i]->requester_site ? "in a transaction" : "outside transactions");
    }
    if (conflicts_lost) {
        VG_(umsg)("  %llu conflicts more in places not listed\n", conflicts_lost);
    }
    VG_(free)(c);
}

static void
text_unfriendly(void)
{
    HChar buf[256];
    UInt n, i;
    struct unfriendly **u = (struct unfriendly **)sorted(unfriendlies, &n, by_count_u);

    if (n) {
        VG_(umsg)("unfriendly to transactions: count, what, where\n");
    }
    for (i = 0; i < top(n); i++) {
        VG_(umsg)("  %10llu  %s  %s\n", u[i]->count, u[i]->what,
                  where(u[i]->pc, buf, sizeof buf));
    }
    VG_(free)(u);
}

void
rtm_report_dump(const HChar *name)
{
    init();
    text_totals(name);
    if (starts) {
        text_sites();
        text_conflicts();
        text_unfriendly();
    }
}

/* ------------------------------------------------------------------ */
/* JSON                                                                */

static VgFile *json;
static Bool first_item;

static void
json_string(const HChar *s)
{
    VG_(fprintf)(json, "\"");
    for (; *s; s++) {
        const UChar ch = *s;
        if (ch == '"' || ch == '\\') {
            VG_(fprintf)(json, "\\%c", ch);
        } else if (ch < 0x20) {
            VG_(fprintf)(json, "\\u%04x", ch);
        } else {
            VG_(fprintf)(json, "%c", ch);
        }
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
    } else {
        VG_(fprintf)(json, "null");
    }
}

static void
json_open(const HChar *key, const HChar *bracket)
{
    if (key) {
        json_key(key);
    } else if (!first_item) {
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
    ULong capacity = by_cause[RTM_C_CAPACITY_READ] + by_cause[RTM_C_CAPACITY_WRITE];
    ULong sum = 0;
    Int i;

    json_open("aborts", "{");
    for (i = 0; i < RTM_C_LAST; i++) {
        sum += by_cause[i];
        json_num(rtm_cause_name[i], by_cause[i]);
    }
    json_num("capacity", capacity);
    json_num("total", sum);
    json_close("}");
}

static void
json_histogram(const HChar *key, const ULong *h)
{
    Int i;

    json_open(key, "[");
    for (i = 0; i < HIST; i++) {
        VG_(fprintf)(json, i ? ", %llu" : "%llu", h[i]);
    }
    json_close("]");
}

static void
json_totals(void)
{
    json_open("totals", "{");
    json_num("starts", starts);
    json_num("commits", commits);
    json_aborts(aborts);
    json_num("makespan_cycles", rtm_sched_makespan());
    json_num("cycles_committed", cycles_committed);
    json_num("cycles_aborted", cycles_aborted);
    json_num("real_waits", rtm_nondeterministic);
    json_num("conflicts_unlisted", conflicts_lost);
    json_num("mhz", rtm_opt.mhz);
    json_num("seed", rtm_opt.seed);
    json_text("preset", rtm_opt.preset);
    json_text("evidence", "emulated");
    json_close("}");
    json_open("histograms", "{");
    json_histogram("read_set_log2", hist_read);
    json_histogram("write_set_log2", hist_write);
    json_histogram("set_pressure", hist_pressure);
    json_close("}");
}

static void
json_threads(void)
{
    Int i;

    json_open("threads", "[");
    for (i = 1; i < RTM_MAX_THREADS; i++) {
        const struct rtm_thread *t = &rtm_threads[i];
        if (t->tid == VG_INVALID_THREADID) {
            continue;
        }
        json_open(NULL, "{");
        json_num("tid", t->tid);
        json_num("starts", t->starts);
        json_num("commits", t->commits);
        json_num("aborts", t->aborts);
        json_num("cycles", t->cpu);
        json_close("}");
    }
    json_close("]");
}

static void
json_sites(void)
{
    HChar buf[256];
    UInt n, i;
    struct rtm_site **s = (struct rtm_site **)sorted(sites, &n, by_starts);

    json_open("sites", "[");
    for (i = 0; i < top(n) && s[i]->starts; i++) {
        json_open(NULL, "{");
        json_text("where", where(s[i]->pc, buf, sizeof buf));
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
json_conflicts(void)
{
    HChar buf[256];
    UInt n, i;
    struct conflict **c = (struct conflict **)sorted(conflicts, &n, by_count);

    json_open("conflicts", "[");
    for (i = 0; i < top(n); i++) {
        json_open(NULL, "{");
        json_num("count", c[i]->count);
        json_text("data", what_is(c[i]->addr, buf, sizeof buf));
        json_num("address", c[i]->addr);
        json_num("offset_in_line", c[i]->addr & (RTM_LINE - 1));
        json_text("sharing", c[i]->true_sharing ? "true" : "false");
        json_text("victim_site", where(c[i]->victim_site->pc, buf, sizeof buf));
        json_text("victim_label", c[i]->victim_site->label);
        json_text("victim_access", where(c[i]->victim_pc, buf, sizeof buf));
        json_text("requester_access", where(c[i]->requester_pc, buf, sizeof buf));
        json_text("requester_site",
                  c[i]->requester_site
                      ? where(c[i]->requester_site->pc, buf, sizeof buf)
                      : NULL);
        json_text("requester_label",
                  c[i]->requester_site ? c[i]->requester_site->label : NULL);
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
    struct unfriendly **u = (struct unfriendly **)sorted(unfriendlies, &n, by_count_u);

    json_open("unfriendly", "[");
    for (i = 0; i < top(n); i++) {
        json_open(NULL, "{");
        json_text("what", u[i]->what);
        json_text("where", where(u[i]->pc, buf, sizeof buf));
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

Bool
rtm_report_check(void)
{
    HChar *name;
    SysRes r;

    if (!rtm_opt.json) {
        return True;
    }
    name = json_name();
    r = VG_(open)(name, VKI_O_WRONLY | VKI_O_CREAT, 0666);
    VG_(free)(name);
    if (sr_isError(r)) {
        return False;
    }
    VG_(close)(sr_Res(r));
    return True;
}

/* Written beside its place and renamed, so that a reader sees all or nothing. */
static void
write_json(void)
{
    HChar *name = json_name();
    HChar *part = VG_(malloc)("rtm.json", VG_(strlen)(name) + 8);

    VG_(sprintf)(part, "%s.part", name);
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
    VG_(rename)(part, name);
    VG_(free)(part);
    VG_(free)(name);
}

void
rtm_report_final(void)
{
    init();
    if (rtm_forked_child && !rtm_opt.children) {
        return;
    }
    if (VG_(clo_verbosity) > 0) {
        rtm_report_dump(NULL);
    }
    if (rtm_opt.json) {
        write_json();
    }
}
