/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * rtmgrind: runs programs that use Intel RTM on any x86-64 machine.
 * Options, and what the tool registers with Valgrind's core.
 */

#include "rtm_priv.h"
#include "rtm_core.h"
#include "rtm_heap.h"
#include "pub_tool_clientstate.h"
#include "valgrind.h"
#include "rtmgrind.h"

struct rtm_options rtm_opt = {
    .rtm = True,
    .cores = RTM_MAX_CORES,
    .smt = 1,
    .slice = 12000000, /* 4 ms at 3 GHz: Linux's base slice is of this order */
    .seed = 1,
    .epoch = 1767225600, /* 2026-01-01 */
    .mhz = 3000,
    .cost_insn = 1,      /* guess: one instruction a cycle */
    .cost_begin = 40,    /* guess */
    .cost_commit = 30,   /* guess */
    .cost_abort = 150,   /* guess */
    .cost_line = 100,    /* guess: core-to-core transfer on one socket */
    .cost_pause = 140,   /* Intel optimization manual: Skylake and later */
    .cost_syscall = 300, /* guess */
    .cost_wake = 6000,   /* guess: futex wake to running, 2 us */
    .top = 10,
    .preset = "sapphirerapids",
};

/* L1D geometry: Intel optimization manual, "cache and memory subsystem". The
 * read set reaches past L1D; its size is a guess. The signature (family, model, stepping) is that
 * of a server part whose TSX works: glibc and libitm have lists of those where it does not. */
static const struct preset {
    const HChar *name;
    Int sets, ways, read_lines;
    UInt signature;
} presets[] = {
    {"haswell", 64, 8, 65536, 0x306F4},         /* Haswell-EX, stepping 4 */
    {"icelake", 64, 12, 65536, 0x606A6},        /* Ice Lake-SP */
    {"sapphirerapids", 64, 12, 65536, 0x806F8}, /* Sapphire Rapids */
};

static const struct preset *
find_preset(const HChar *name)
{
    SizeT i;

    for (i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        if (VG_STREQ(presets[i].name, name)) {
            return &presets[i];
        }
    }
    return NULL;
}

static Bool
process_rtm_option(const HChar *arg)
{
    const HChar *mode;

    if VG_STR_CLO (arg, "--rtm", mode) {
        rtm_opt.rtm = !VG_STREQ(mode, "no");
        rtm_opt.always_abort = VG_STREQ(mode, "always-abort");
        if (rtm_opt.rtm && !rtm_opt.always_abort && !VG_STREQ(mode, "yes")) {
            VG_(fmsg_bad_option)(arg, "Use yes, no or always-abort.\n");
        }
    }
    else if VG_STR_CLO (arg, "--preset", rtm_opt.preset) {
        if (!find_preset(rtm_opt.preset)) {
            VG_(fmsg_bad_option)(arg, "Use haswell, icelake or sapphirerapids.\n");
        }
    }
    else if VG_BOOL_CLO (arg, "--tsxldtrk", rtm_opt.tsxldtrk) {
    }
    else if VG_BINT_CLO (arg, "--write-sets", rtm_opt.sets, 1, RTM_MAX_SETS) {
        if (rtm_opt.sets & (rtm_opt.sets - 1)) {
            VG_(fmsg_bad_option)(arg, "Use a power of two.\n");
        }
    }
    else if VG_BINT_CLO (arg, "--write-ways", rtm_opt.ways, 1, 1024) {
    }
    else if VG_BINT_CLO (arg, "--read-lines", rtm_opt.read_lines, 1, 1 << 24) {
    }
    else if VG_BINT_CLO (arg, "--smt", rtm_opt.smt, 1, 8) {
    }
    else if VG_BINT_CLO (arg, "--abort-at", rtm_opt.abort_at, 1, 0x7FFFFFFF) {
    }
    else if VG_BINT_CLO (arg, "--abort-rate", rtm_opt.abort_rate, 0, 10000) {
    }
    else if VG_BHEX_CLO (arg, "--abort-status", rtm_opt.abort_status, 0, 0x7FFFFFFF) {
    }
    else if VG_BINT_CLO (arg, "--timer-tick", rtm_opt.timer_tick, 0, 0x7FFFFFFF) {
    }
    else {
        return False;
    }
    return True;
}

static Bool
process_time_option(const HChar *arg)
{
    if VG_BINT_CLO (arg, "--cores", rtm_opt.cores, 1, RTM_MAX_CORES) {
    }
    else if VG_BINT_CLO (arg, "--quantum", rtm_opt.quantum, 0, 1000000) {
    }
    else if VG_BINT_CLO (arg, "--slice", rtm_opt.slice, 1000, 0x7FFFFFFF) {
    }
    else if VG_BINT_CLO (arg, "--seed", rtm_opt.seed, 0, 0x7FFFFFFF) {
    }
    else if VG_BINT_CLO (arg, "--mhz", rtm_opt.mhz, 1, 100000) {
    }
    else if VG_BINT_CLO (arg, "--cost-insn", rtm_opt.cost_insn, 1, 1000) {
    }
    else if VG_BINT_CLO (arg, "--cost-begin", rtm_opt.cost_begin, 0, 100000) {
    }
    else if VG_BINT_CLO (arg, "--cost-commit", rtm_opt.cost_commit, 0, 100000) {
    }
    else if VG_BINT_CLO (arg, "--cost-abort", rtm_opt.cost_abort, 0, 100000) {
    }
    else if VG_BINT_CLO (arg, "--cost-line", rtm_opt.cost_line, 0, 100000) {
    }
    else if VG_BINT_CLO (arg, "--cost-pause", rtm_opt.cost_pause, 1, 100000) {
    }
    else if VG_BINT_CLO (arg, "--cost-syscall", rtm_opt.cost_syscall, 0, 1000000) {
    }
    else if VG_BINT_CLO (arg, "--cost-wake", rtm_opt.cost_wake, 0, 10000000) {
    }
    else if VG_XACT_CLO (arg, "--epoch=host", rtm_opt.epoch, RTM_HOST_EPOCH) {
    }
    else if VG_BINT_CLO (arg, "--epoch", rtm_opt.epoch, 0, 9999999999LL) {
    }
    else if VG_BOOL_CLO (arg, "--coherence", rtm_opt.coherence) {
    }
    else {
        return False;
    }
    return True;
}

static Bool
process_option(const HChar *arg)
{
    if VG_STR_CLO (arg, "--json", rtm_opt.json) {
        if (!rtm_report_check()) {
            VG_(fmsg_bad_option)(arg, "Cannot write %s.\n", rtm_opt.json);
        }
    }
    else if VG_BINT_CLO (arg, "--top", rtm_opt.top, 0, 100000) {
    }
    else if VG_BOOL_CLO (arg, "--heap", rtm_opt.heap) {
    }
    else if VG_BOOL_CLO (arg, "--page-faults", rtm_opt.page_faults) {
    }
    else if VG_XACT_CLO (arg, "--entropy=seed", rtm_opt.host_entropy, False) {
    }
    else if VG_XACT_CLO (arg, "--entropy=host", rtm_opt.host_entropy, True) {
    }
    else if VG_BOOL_CLO (arg, "--report-children", rtm_opt.children) {
    }
    else {
        return process_rtm_option(arg) || process_time_option(arg);
    }
    return True;
}

static void
print_usage(void)
{
    VG_(printf)
    ("    --rtm=yes|no|always-abort   what CPUID and XBEGIN do [yes]\n"
     "    --tsxldtrk=no|yes           XSUSLDTRK and XRESLDTRK exist [no]\n"
     "    --preset=NAME               haswell, icelake, sapphirerapids [sapphirerapids]\n"
     "    --write-sets=N --write-ways=N  write set: L1D geometry [preset]\n"
     "    --read-lines=N              read set, in lines [preset]\n"
     "    --smt=N                     hardware threads that share an L1D [1]\n"
     "    --cores=N                   virtual cores, 1 to 64 [64]\n"
     "    --seed=N                    another seed, another schedule [1]\n"
     "    --quantum=N                 cycles a thread may run ahead; 0: automatic [0]\n"
     "    --slice=N                   cycles before a core changes threads [12000000]\n"
     "    --mhz=N                     virtual clock rate [3000]\n"
     "    --cost-insn=N --cost-begin=N --cost-commit=N --cost-abort=N --cost-line=N\n"
     "    --cost-pause=N --cost-syscall=N --cost-wake=N\n"
     "                                cycles [1 40 30 150 100 140 300 6000]\n"
     "    --coherence=no|yes          charge line transfers without transactions too [no]\n"
     "    --abort-rate=N              abort N of 10000 transactions [0]\n"
     "    --abort-at=N                abort at the Nth instruction in transactions\n"
     "    --abort-status=0xN          with this status [0]\n"
     "    --timer-tick=N              abort every N cycles, as a timer would [0: off]\n"
     "    --json=FILE                 write the report as JSON\n"
     "    --top=N                     rows of each list in the report [10]\n"
     "    --page-faults=no|yes        the first touch of a page aborts [no]\n"
     "    --entropy=seed|host         where random bytes come from [seed]\n"
     "    --epoch=N|host              seconds since 1970 at the start [1767225600]\n"
     "    --heap=no|yes               name heap blocks and who allocated them [no]\n"
     "    --report-children=no|yes    report in forked children too [no]\n");
}

static void
print_debug_usage(void)
{
    VG_(printf)("    (none)\n");
}

/* All options are known. */
static void
settle_options(void)
{
    const struct preset *p = find_preset(rtm_opt.preset);

    rtm_opt.signature = p->signature;
    if (!rtm_opt.sets) {
        rtm_opt.sets = p->sets;
    }
    if (!rtm_opt.ways) {
        rtm_opt.ways = p->ways;
    }
    if (!rtm_opt.read_lines) {
        rtm_opt.read_lines = p->read_lines;
    }
    if (rtm_opt.ways < rtm_opt.smt) {
        VG_(fmsg)("Bad option: --smt=%d\n", rtm_opt.smt);
        VG_(fmsg)("More threads than the cache has ways, %d.\n", rtm_opt.ways);
        VG_(exit)(1);
    }
    rtm_opt.ways /= rtm_opt.smt;
    rtm_opt.read_lines /= rtm_opt.smt;
}

/* Options are refused before the core prints what runs. It does so once more where a forked child
 * has a log of its own. */
void
__wrap_vgPlain_print_preamble(Bool to_fd)
{
    static Bool settled;

    if (!settled) {
        settled = True;
        settle_options();
    }
    __real_vgPlain_print_preamble(to_fd);
}

static void
post_clo_init(void)
{
    if (rtm_opt.page_faults && !rtm_page_init()) {
        VG_(umsg)("rtmgrind: --page-faults=yes: cannot read /proc/self/pagemap\n");
        VG_(exit)(1);
    }
    rtm_hooks_on = rtm_opt.coherence;
    rtm_sys_init();
    rtm_heap_init();
}

static void
fini(Int exitcode)
{
    (void)exitcode;
    rtm_report_final();
}

/* ------------------------------------------------------------------ */
/* Client requests, rtmgrind.h                                         */

static void
push_label(struct rtm_thread *t, const HChar *label)
{
    if (t->n_labels < RTM_MAX_LABELS) {
        t->labels[t->n_labels] = rtm_intern(label);
    }
    t->n_labels++;
}

static Bool
client_request(ThreadId tid, UWord *arg, UWord *ret)
{
    struct rtm_thread *t = &rtm_threads[tid];

    if (!VG_IS_TOOL_USERREQ('R', 'T', arg[0])) {
        return False;
    }
    *ret = 0;
    switch (arg[0]) {
    case RTMGRIND_REQ_EMULATED: *ret = 1; break;
    case RTMGRIND_REQ_CLOCK: *ret = rtm_clock(); break;
    case RTMGRIND_REQ_RESET_STATS: rtm_report_reset(); break;
    case RTMGRIND_REQ_DUMP_STATS: rtm_report_dump((const HChar *)arg[1]); break;
    case RTMGRIND_REQ_LABEL_PUSH: push_label(t, (const HChar *)arg[1]); break;
    case RTMGRIND_REQ_LABEL_POP:
        if (t->n_labels > 0) {
            t->n_labels--;
        }
        break;
    default: return False;
    }
    return True;
}

/* A request that needs nothing of the core is answered here: the arguments are where RAX points,
 * the result goes to RDX (valgrind.h). */
Bool
rtm_own_request(struct rtm_thread *t)
{
    UWord *arg = (UWord *)t->gs->guest_RAX, ret;

    if (!client_request(t->tid, arg, &ret)) {
        return False;
    }
    t->gs->guest_RDX = ret;
    return True;
}

/* ------------------------------------------------------------------ */
/* Events                                                              */

static Bool
is_code(CorePart part)
{
    return part == Vg_CoreTranslate;
}

static void
pre_mem_read(CorePart part, ThreadId tid, const HChar *s, Addr a, SizeT n)
{
    (void)tid, (void)s;
    if (!is_code(part)) {
        rtm_kernel_access(a, n, False);
    }
}

static void
pre_mem_read_asciiz(CorePart part, ThreadId tid, const HChar *s, Addr a)
{
    (void)part, (void)tid, (void)s;
    rtm_kernel_access(a, 1, False);
}

static void
pre_mem_write(CorePart part, ThreadId tid, const HChar *s, Addr a, SizeT n)
{
    (void)s;
    if (part == Vg_CoreSysCall) {
        rtm_kernel_may_write(tid, a, n);
    }
    else if (!is_code(part)) {
        rtm_kernel_access(a, n, True);
    }
}

static void
post_mem_write(CorePart part, ThreadId tid, Addr a, SizeT n)
{
    (void)part, (void)tid;
    rtm_kernel_access(a, n, True);
}

static void
thread_create(ThreadId parent, ThreadId child)
{
    if (parent != VG_INVALID_THREADID) {
        rtm_sched_thread_new(child, parent);
    }
}

static void
pre_deliver_signal(ThreadId tid, Int sig, Bool alt_stack)
{
    (void)alt_stack;
    rtm_sys_interrupted(&rtm_threads[tid], sig);
}

static void
pre_clo_init(void)
{
    VG_(details_name)("rtmgrind");
    VG_(details_version)(RTM_VERSION);
    VG_(details_description)("an emulator of Intel RTM");
    VG_(details_copyright_author)("Copyright (C) 2026, and GNU GPL'd, by the libelision authors.");
    VG_(details_bug_reports_to)("the libelision project");
    VG_(details_avg_translation_sizeB)(600);

    VG_(basic_tool_funcs)(post_clo_init, rtm_instrument, fini);
    VG_(needs_command_line_options)(process_option, print_usage, print_debug_usage);
    VG_(needs_client_requests)(client_request);
    VG_(needs_syscall_wrapper)(rtm_pre_syscall, rtm_post_syscall);

    VG_(track_pre_mem_read)(pre_mem_read);
    VG_(track_pre_mem_read_asciiz)(pre_mem_read_asciiz);
    VG_(track_pre_mem_write)(pre_mem_write);
    VG_(track_post_mem_write)(post_mem_write);
    VG_(track_pre_thread_ll_create)(thread_create);
    VG_(track_pre_thread_ll_exit)(rtm_sched_thread_exit);
    VG_(track_pre_deliver_signal)(pre_deliver_signal);

    /* Registers must be in memory wherever a block may be cut, and a block's
       instructions must follow each other. */
    VG_(clo_vex_control).iropt_register_updates_default = VexRegUpdAllregsAtEachInsn;
    VG_(clo_vex_control).iropt_unroll_thresh = 0;
    VG_(clo_vex_control).guest_chase = False;
}

VG_DETERMINE_INTERFACE_VERSION(pre_clo_init)
