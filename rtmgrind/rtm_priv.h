/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files of rtmgrind share.  Read in this order:
 *
 *   rtm_main.c     options, registration with Valgrind's core
 *   rtm_instr.c    IR: cuts blocks at RTM instructions (rtm_ir.c: pieces)
 *   rtm_access.c   IR: hooks memory accesses
 *   rtm_decode.c   guest bytes -> RTM instruction, or unfriendly instruction
 *   rtm_txn.c      transactions: begin, commit, doom, rollback
 *   rtm_lines.h    which transaction holds which cache line; conflicts (rtm_lines.c)
 *   rtm_track.c    what every access does to it
 *   rtm_kernel.c   what the kernel's accesses do to it
 *   rtm_touch.h    what a transaction has touched; capacity (rtm_touch.c)
 *   rtm_sched.c    virtual time: decides which thread runs
 *   rtm_cores.c    virtual cores
 *   rtm_timer.h    timers (rtm_timer.c; rtm_alarm.c: the calls; rtm_file.c: timerfd)
 *   rtm_pace.c     where virtual time must not outrun real time
 *   rtm_biglock.c  the core's big lock, which carries the decisions out
 *   rtm_ride.c     one host thread runs many threads' code in turn
 *   rtm_sys.c      system calls answered in virtual time: rtm_clock.c: clocks;
 *   rtm_wait.c     futex, sleep; rtm_signal.c: waiting for signals;
 *                  rtm_poll.c: waiting for descriptors;
 *                  rtm_limit.c: time-outs of calls that go to the kernel;
 *                  rtm_sysname.c: names
 *   rtm_heap.c     heap blocks and who allocated them
 *   rtm_fault.c    host faults inside a transaction; signals
 *   rtm_page.c     page faults of first touches, by option
 *   rtm_count.c    counts by site, conflict and unfriendly instruction;
 *                  rtm_text.c and rtm_json.c print them, with names (rtm_names.c)
 *
 * All of this runs under the core's big lock (one client thread at a time),
 * except the few functions of rtm_sched.c that say otherwise.
 */

#ifndef RTM_PRIV_H
#define RTM_PRIV_H

#include "pub_tool_basics.h"
#include "pub_tool_vki.h"
#include "pub_tool_vkiscnums.h"
#include "pub_tool_aspacemgr.h"
#include "pub_tool_threadstate.h"
#include "pub_tool_libcassert.h"
#include "pub_tool_libcbase.h"
#include "pub_tool_libcprint.h"
#include "pub_tool_libcproc.h"
#include "pub_tool_libcfile.h"
#include "pub_tool_machine.h"
#include "pub_tool_mallocfree.h"
#include "pub_tool_options.h"
#include "pub_tool_tooliface.h"
#include "libvex_guest_amd64.h"

#define RTM_VERSION "0.1"

enum {
    RTM_LINE = 64,         /* bytes in a cache line */
    RTM_MAX_THREADS = 512, /* the core's default limit is 500 */
    RTM_MAX_CORES = 64,    /* one bit each in a line's reader mask */
    RTM_MAX_SETS = 1024,
    RTM_MAX_NEST = 7 /* SDM vol. 1, 16.3.2: MAX_RTM_NEST_COUNT */
};

#define RTM_NEVER (~0ULL)
#ifndef VKI_ETIMEDOUT
#define VKI_ETIMEDOUT 110
#endif

/* Abort status bits: SDM vol. 1, 16.3.5, table 16-1. */
enum {
    RTM_EXPLICIT = 1u << 0,
    RTM_RETRY = 1u << 1,
    RTM_CONFLICT = 1u << 2,
    RTM_CAPACITY = 1u << 3,
    RTM_DEBUG = 1u << 4,
    RTM_NESTED = 1u << 5
};

/* Why a transaction ended; finer than the status, for the report. */
enum rtm_cause {
    RTM_C_CONFLICT = 0,
    RTM_C_CAPACITY_WRITE,
    RTM_C_CAPACITY_READ,
    RTM_C_EXPLICIT,
    RTM_C_SYSCALL,
    RTM_C_INSTRUCTION, /* unfriendly instruction */
    RTM_C_FAULT,       /* page fault or exception */
    RTM_C_SIGNAL,
    RTM_C_TIMER, /* timer tick or context switch */
    RTM_C_TLB,   /* mapping changed: the kernel interrupts every core */
    RTM_C_NESTING,
    RTM_C_INJECTED,
    RTM_C_LAST
};
extern const HChar *const rtm_cause_name[RTM_C_LAST];

/* ------------------------------------------------------------------ */
/* Options: constant after rtm_post_clo_init().                        */

enum { RTM_HOST_EPOCH = -1 };
struct rtm_options {
    Bool rtm;          /* CPUID shows RTM */
    Bool always_abort; /* RTM_ALWAYS_ABORT: every XBEGIN aborts */
    Bool tsxldtrk;     /* XSUSLDTRK and XRESLDTRK exist */
    Int sets, ways;    /* write set: L1D geometry */
    Int read_lines;    /* read set: size of the filter behind L1 */
    Int smt;           /* hardware threads that share an L1D */
    Int cores;         /* virtual cores */
    Int quantum;       /* cycles a thread may run ahead; 0: automatic */
    Int slice;         /* cycles before a core changes threads */
    Int seed;
    Long epoch; /* CLOCK_REALTIME at virtual time zero, seconds; RTM_HOST_EPOCH: the host's */
    Int mhz;    /* virtual cycles per microsecond */
    Int cost_insn, cost_begin, cost_commit, cost_abort, cost_line;
    Int cost_pause, cost_syscall, cost_wake;
    Int timer_tick; /* cycles; 0: none */
    Int abort_rate; /* transactions per 10000 that get abort_status */
    Int abort_at;   /* Nth instruction inside transactions; 0: off */
    Int abort_status;
    Int top;           /* rows of each list in the report */
    Bool coherence;    /* charge line transfers outside transactions too */
    Bool page_faults;  /* first touches abort */
    Bool host_entropy; /* getrandom asks the kernel */
    Bool heap;         /* know heap blocks and who allocated them */
    Bool children;     /* report in forked children too */
    const HChar *json;
    const HChar *preset;
    UInt signature; /* of the preset's processor, CPUID.1:EAX */
};
extern struct rtm_options rtm_opt;

/* ------------------------------------------------------------------ */
/* Thread state that translated code touches: it lives in the first     */
/* shadow of the guest state, so that one %rbp-relative access does.     */

struct rtm_shadow {
    ULong clock;    /* virtual cycles; written by every block */
    ULong deadline; /* the block that passes it leaves to the scheduler */
    ULong active;   /* non-zero: accesses must be checked */
    ULong in_tx;    /* non-zero: this thread is in a transaction */
    ULong extended; /* non-zero: registers from RTM_EXTENDED on differ from those saved last */
};
enum {
    RTM_SHADOW_BASE = sizeof(VexGuestAMD64State),
    RTM_EXTENDED = offsetof(VexGuestAMD64State, guest_YMM0) /* vector and x87 state: most of it */
};
_Static_assert(RTM_EXTENDED % 16 == 0 && RTM_SHADOW_BASE % 16 == 0, "rtm_copy copies 16 bytes");

/* ------------------------------------------------------------------ */
/* Transactions                                                        */

struct rtm_line;
struct rtm_site;

struct rtm_touch {
    struct rtm_line *line;
    Addr addr;
    _Alignas(16) UChar old[RTM_LINE]; /* contents before the first write */
    Addr pc[RTM_LINE / 8];            /* first access to each 8-byte word, or 0 */
    UChar words;                      /* words accessed */
    Bool read, write;
};

enum rtm_tx_state { RTM_TX_NONE = 0, RTM_TX_LIVE, RTM_TX_DOOMED };

/* A line that the thread's transactions accessed last of those that share the slot; what is said
 * of it is the running transaction's if the generation matches. */
struct rtm_seen {
    struct rtm_line *line; /* NULL: none yet */
    UInt gen;
    Int touch; /* its place in rtm_tx.touch */
    UChar words;
    Bool written;
};
enum { RTM_SEEN = 1024 };

struct rtm_tx {
    enum rtm_tx_state state;
    Int core; /* slot in the lines' reader masks */
    UInt gen;
    Int nest;
    UInt status; /* when doomed */
    enum rtm_cause cause;
    const HChar *what; /* unfriendly instruction or system call, or NULL */
    Addr fallback;
    Bool suspended; /* between XSUSLDTRK and XRESLDTRK */
    ULong begin_clock;
    Int n_labels;    /* at begin: requests are rolled back too */
    ULong inject_at; /* clock of an injected abort, RTM_NEVER: none */
    Bool inject;
    struct rtm_site *site;
    Int n_read, n_write;
    struct rtm_touch *touch; /* n_touch used of cap_touch */
    Int n_touch, cap_touch, n_indexed;
    ULong *index; /* open-addressed, 2 * cap_touch: gen << 32 | place in touch */
    UShort set_count[RTM_MAX_SETS];
    struct rtm_seen seen[RTM_SEEN];
    _Alignas(RTM_LINE) UChar saved[sizeof(VexGuestAMD64State)];
};

/* ------------------------------------------------------------------ */
/* Threads                                                             */

/*          create            arrives          granted
 *  FREE ----------> NEW -----------> READY <---------> RUNNING
 *                                    ^  ^                |  |
 *              woken, timed out      |  |  returns       |  | system call
 *                         BLOCKED ---+  +--- SYSCALL <---+--+ that may block
 *                            ^                  | too long
 *         emulated wait -----+                  v
 *                                             AWAY (real time: reported)
 */
enum rtm_state {
    RTM_T_FREE = 0,
    RTM_T_NEW,
    RTM_T_READY,
    RTM_T_RUNNING,
    RTM_T_BLOCKED,
    RTM_T_SYSCALL,
    RTM_T_AWAY
};

enum rtm_wait { RTM_W_NONE = 0, RTM_W_FUTEX, RTM_W_SLEEP, RTM_W_SIGNAL, RTM_W_FILE };

enum { RTM_MAX_LABELS = 32 };

struct rtm_thread {
    ThreadId tid;
    Int lwp;
    enum rtm_state state;
    ULong clock; /* valid while not running */
    ULong cpu;   /* cycles run: thread CPU time */
    Int core;    /* -1: waits for one */
    ULong core_since;
    ULong queue_seq; /* order in the queue for a core */
    Int wake_word;   /* host futex this thread parks on */
    Bool parked;     /* sleeps on wake_word */
    Bool exiting;

    /* spinning */
    ULong paused_at, spun; /* last PAUSE; cycles of PAUSEs close together */

    /* emulated blocking system call */
    enum rtm_wait wait;
    ULong wake_at;
    Addr futex;
    UInt bitset;
    UInt futex_value;  /* while it says so */
    Bool futex_shared; /* other processes may wake it */
    Bool woken, timed_out;
    ULong clock_at_wait;
    ULong wait_end; /* when the wait times out; RTM_NEVER: never */
    Addr sleep_rem; /* where the call wants the rest, or 0 */
    Int sleep_unit; /* nanoseconds that the rest's second word counts in */
    ULong awaited;  /* signals that end the wait though they are blocked */
    Bool suspended; /* until a handler runs, blocks other signals than these: */
    vki_sigset_t blocked;

    /* real system call */
    Int sysno;
    Bool in_syscall, may_block;
    ULong limit;                    /* when its time-out ends; RTM_NEVER: it has none */
    Long limit_says;                /* its result then */
    struct vki_timespec host_limit; /* what the kernel is given for it, in the place of: */
    Addr limit_at;

    Addr clear_child_tid; /* kernel zeroes it at exit */
    Addr pending_clear_child_tid;
    Addr robust_list; /* of locks that the kernel marks if it ends with them, or 0 */

    /* riding: see rtm_ride.c */
    volatile VexGuestAMD64State *gs;    /* NULL before it first ran; */
    volatile struct rtm_shadow *shadow; /* behind it, or `early` until then */
    struct rtm_shadow early;
    Bool aboard;  /* any host thread may run it */
    Bool visit;   /* on its way through the core and back */
    Bool returns; /* its own host thread is to return trc */
    HWord trc[2];
    Int budget;          /* blocks the core gave it */
    UInt turns, signals; /* since it last visited; signals as seen then */
    ULong visited_at;

    const HChar *labels[RTM_MAX_LABELS];
    Int n_labels;

    Addr awaits; /* the line that it asked for and waits for, or 0 */
    ULong starts, commits, aborts;
    ULong aborted_at; /* for waiting time; 0: none */
    struct rtm_tx tx;
};

extern struct rtm_thread rtm_threads[RTM_MAX_THREADS];
extern struct rtm_thread *rtm_cur; /* runs now, or NULL */
extern struct rtm_thread *rtm_on_core[RTM_MAX_CORES];
extern Int rtm_live;      /* transactions that are LIVE */
extern Bool rtm_hooks_on; /* translations check accesses */

/* rtm_main.c */
Bool rtm_own_request(struct rtm_thread *t);

/* rtm_sched.c */
void rtm_sched_thread_new(ThreadId tid, ThreadId parent);
void rtm_sched_dying(void);      /* let every thread run: shutdown */
void rtm_sched_leave_soon(void); /* end the time slice at the next block */
void rtm_sched_wake(struct rtm_thread *t, ULong at);
void rtm_sched_kick(ThreadId tid); /* recheck a blocked thread; 0: all */
void rtm_sched_yield(void);
void rtm_sched_refresh(void); /* recompute deadline */
ULong rtm_sched_makespan(void);

/* rtm_biglock.c */
void rtm_sched_child_is(Int lwp);
void rtm_sched_thread_exit(ThreadId tid);

/* Virtual time of the running thread. */
static inline ULong
rtm_clock(void)
{
    return rtm_cur ? rtm_cur->shadow->clock : 0;
}

static inline void
rtm_clock_add(ULong cycles)
{
    if (rtm_cur) {
        rtm_cur->shadow->clock += cycles;
    }
}

ULong rtm_random(void);
void rtm_help_pause(void);
Int rtm_sched_threads_live(void);
extern ULong rtm_nondeterministic; /* real waits */
extern Bool rtm_forked_child;      /* this process is a forked copy */

/* Must a thread that is in no transaction have its accesses checked? */
static inline Bool
rtm_checks_plain(void)
{
    return rtm_hooks_on && (rtm_live > 0 || rtm_opt.coherence);
}

/* rtm_txn.c */
void rtm_tx_abort_parked(struct rtm_thread *victim, UInt status, enum rtm_cause cause,
                         const HChar *what);
void rtm_tx_doom(UInt status, enum rtm_cause cause, const HChar *what);
void rtm_tx_page_fault(void);                /* of the running one: doomed */
void rtm_tx_roll_back(struct rtm_thread *t); /* one that is doomed */
void rtm_tx_abort_all(enum rtm_cause cause, const HChar *what);
void rtm_tx_forget_others(struct rtm_thread *me); /* after fork */
HWord rtm_help_xbegin(HWord gs, HWord pc, HWord fallback);
HWord rtm_help_xend(void);
HWord rtm_help_xabort(HWord code);
HWord rtm_help_ldtrk(HWord suspend);
HWord rtm_help_unfriendly(HWord name, HWord cause, HWord status);
HWord rtm_help_insn(void);
void rtm_tx_uncount_insn(void); /* the current instruction is begun anew */
ULong rtm_help_rdtsc(void);
void rtm_help_rdtscp(VexGuestAMD64State *gs);
void rtm_help_cpuid(VexGuestAMD64State *gs, HWord rax, HWord rcx);
void rtm_hooks_update(ULong now); /* while no transaction is live */
extern ULong rtm_last_tx;         /* when one ended last */
extern ULong rtm_tx_cycles_avg;

static inline void
rtm_tx_settle(struct rtm_thread *t)
{
    if (t->tx.state == RTM_TX_DOOMED) {
        rtm_tx_roll_back(t);
    }
}

/* Were there transactions lately? Then threads are interleaved for them. */
static inline Bool
rtm_tx_lately(ULong now)
{
    return rtm_live > 0 || (rtm_hooks_on && now < rtm_last_tx + 1000 * 1000);
}

/* rtm_track.c */
#define RTM_ACCESS_LIST(F) F(1) F(2) F(4) F(8) F(16) F(32)
#define RTM_DECLARE(n)                                  \
    VG_REGPARM(2) void rtm_load_##n(Addr a, Long rest); \
    VG_REGPARM(2) void rtm_store_##n(Addr a, Long rest);
RTM_ACCESS_LIST(RTM_DECLARE)
#undef RTM_DECLARE
VG_REGPARM(2) void rtm_load_n(Addr a, SizeT n);
VG_REGPARM(2) void rtm_store_n(Addr a, SizeT n);
VG_REGPARM(3) void rtm_atomic_n(Addr a, SizeT n, Long rest);

/* rtm_kernel.c: the kernel, or the core, accesses memory; the thread's call that has begun may
 * write some, and is over; a line is put back, but for that. In a forked child: only this thread is
 * there. */
void rtm_kernel_access(Addr a, SizeT n, Bool write);
void rtm_kernel_may_write(ThreadId tid, Addr a, SizeT n);
void rtm_kernel_over(ThreadId tid);
void rtm_kernel_restore(Addr line, const UChar *old);
void rtm_kernel_forget_others(ThreadId me);

/* rtm_lines.c */
void rtm_lines_release(struct rtm_tx *tx); /* its sets are empty again */
ULong rtm_transfer_gap(ULong now);         /* cycles between two line transfers, on average */
extern ULong rtm_last_met;                 /* when one was transferred, or a transaction lost one */
enum { RTM_MOST_LINES = 1 << 17 };
extern ULong rtm_n_lines;  /* in the table; from so many on: */
void rtm_lines_trim(void); /* bound the memory of idle lines */

/* Have threads used each other's lines lately? */
static inline Bool
rtm_met_lately(ULong now)
{
    return now < rtm_last_met + 1000 * 1000;
}

/* rtm_decode.c */
enum rtm_insn {
    RTM_I_OTHER = 0,
    RTM_I_XBEGIN,
    RTM_I_XEND,
    RTM_I_XABORT,
    RTM_I_XTEST,
    RTM_I_XSUSLDTRK,
    RTM_I_XRESLDTRK,
    RTM_I_CPUID,
    RTM_I_RDTSC,
    RTM_I_RDTSCP,
    RTM_I_PAUSE,
    RTM_I_SYSCALL,
    RTM_I_UNFRIENDLY
};
struct rtm_decoded {
    enum rtm_insn kind;
    Int len;           /* for the RTM instructions */
    Int imm;           /* XABORT's code, XBEGIN's displacement, an unfriendly one's status */
    const HChar *name; /* of an unfriendly instruction */
};
struct rtm_decoded rtm_decode(const UChar *p);

/* rtm_instr.c */
IRSB *rtm_instrument(VgCallbackClosure *closure, IRSB *in, const VexGuestLayout *layout,
                     const VexGuestExtents *vge, const VexArchInfo *arch, IRType gWordTy,
                     IRType hWordTy);

/* rtm_sys.c */
enum { RTM_SYS_PASS = 0, RTM_SYS_DONE, RTM_SYS_AGAIN };
HWord rtm_help_syscall(VexGuestAMD64State *gs);
void rtm_pre_syscall(ThreadId tid, UInt no, UWord *args, UInt n);
void rtm_post_syscall(ThreadId tid, UInt no, UWord *args, UInt n, SysRes res);
void rtm_sys_interrupted(struct rtm_thread *t, Int sig);
void rtm_sys_init(void);
ULong rtm_real_ns(Int clock); /* what the kernel's clock reads */

/* rtm_sysname.c */
const HChar *rtm_sys_name(Int no);

/* rtm_ride.c */
void rtm_leave_code(struct vki_ucontext *uc);
/* From a helper: the current instruction is left, to be begun anew in the thread's next turn; rest:
 * the cycles that its block has charged from it on. */
void rtm_leave_insn(ULong rest) __attribute__((noreturn));
void rtm_back_to_core(struct rtm_thread *t);
volatile VexGuestAMD64State *rtm_next_guest(void);

/* rtm_page.c */
Bool rtm_page_init(void);   /* False: the system has no page map */
void rtm_page_forget(void); /* mappings change */
void rtm_page_forked(void);
Bool rtm_page_fault(Addr a, Bool write);
void rtm_page_give_back(void);

/* rtm_fault.c */
void rtm_fault_install(void);
Bool rtm_fault_pending(void); /* one of rtm_cur, for its own host thread */
void rtm_fault_deliver(void); /* there */

/* rtm_names.c: names there are near a are read, if they were not */
void rtm_names_read(Addr a);

/* rtm_count.c */
const HChar *rtm_intern(const HChar *s);
struct rtm_site *rtm_site_of(Addr pc, const HChar *label);
void rtm_count_begin(struct rtm_thread *t);
void rtm_count_commit(struct rtm_thread *t, ULong cycles); /* before leaving */
void rtm_count_abort(struct rtm_thread *t, ULong cycles);
void rtm_count_conflict(struct rtm_thread *victim, const struct rtm_touch *at, Addr a, UChar words,
                        Bool requester_writes);
void rtm_count_unfriendly(const HChar *what, Addr pc);
void rtm_count_ended(const struct rtm_thread *t); /* its place is another's from now on */
void rtm_report_reset(void);
void rtm_report_final(void);
void rtm_report_dump(const HChar *name);
Bool rtm_report_check(void); /* can the JSON file be written? */

#endif
