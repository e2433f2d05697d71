/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What rtmgrind takes from Valgrind's core beyond its tool interface.  A tool
 * is linked statically with the core, so these symbols are there; they are not
 * promised, so every one is named here, with what we rely on.  The layouts are
 * those of Valgrind 3.19 to 3.24.
 */

#ifndef RTM_CORE_H
#define RTM_CORE_H

#include "pub_tool_basics.h"
#include "pub_tool_aspacemgr.h"
#include "pub_tool_vki.h"

/* The big lock.  coregrind calls it through this table and pulls in its own
 * implementations only if nobody else defines these two symbols: rtm_biglock.c
 * does, and so decides which thread runs next. */
struct sched_lock;
struct sched_lock_ops {
    const HChar *(*get_sched_lock_name)(void);
    struct sched_lock *(*create_sched_lock)(void);
    void (*destroy_sched_lock)(struct sched_lock *p);
    int (*get_sched_lock_owner)(struct sched_lock *p);
    void (*acquire_sched_lock)(struct sched_lock *p);
    void (*release_sched_lock)(struct sched_lock *p);
};
extern const struct sched_lock_ops vgModuleLocal_generic_sched_lock_ops;
extern const struct sched_lock_ops vgModuleLocal_linux_ticket_lock_ops;

/* True while a thread runs translated code. */
extern Bool VG_(in_generated_code);

/* The thread that owns the big lock. */
extern ThreadId VG_(running_tid);

/* Translated code that jumps goes on here: enters the translation of guest_RIP. */
extern void VG_(disp_cp_xindir)(void);

/* Translated code goes there with a TRC in %rbp. Wrapped, in rtm_ride.c. */
extern void __wrap_vgPlain_disp_cp_xassisted(void);

/* Translated code goes there when the event counter has run out. */
extern void VG_(disp_cp_evcheck_fail)(void);

/* Runs translations from host_addr on, until one has to leave: two_words[0] says why (TRC). */
extern void __real_vgPlain_disp_run_translations(HWord *two_words, volatile void *guest_state,
                                                 Addr host_addr);
extern void __wrap_vgPlain_disp_run_translations(HWord *two_words, volatile void *guest_state,
                                                 Addr host_addr);
enum {
    RTM_TRC_BORING = 29,      /* pub_core_dispatch_asm.h: VG_TRC_BORING */
    RTM_TRC_FASTMISS = 37,    /* VG_TRC_INNER_FASTMISS */
    RTM_TRC_COUNTERZERO = 41, /* VG_TRC_INNER_COUNTERZERO */
};

/* Is guest code translated? Then the fast cache knows it now, too. */
extern Bool VG_(search_transtab)(Addr *res_hcode, void *res_sec, void *res_tte, Addr guest_addr,
                                 Bool upd_cache);

/* The signals that a thread blocks: into *old, if set is NULL. */
extern SysRes VG_(do_sys_sigprocmask)(ThreadId tid, Int how, vki_sigset_t *set, vki_sigset_t *old);

/* What the kernel tells a program at its start: pairs of a type (AT_...) and a value. */
extern UWord *VG_(client_auxv);

/* Moves a descriptor out of the program's reach. */
extern Int VG_(safe_fd)(Int oldfd);

/* What the dispatcher counts; each host thread expects zeros when it begins. */
extern UInt VG_(stats__n_xIndirs_32);
extern UInt VG_(stats__n_xIndir_hits1_32);
extern UInt VG_(stats__n_xIndir_hits2_32);
extern UInt VG_(stats__n_xIndir_hits3_32);
extern UInt VG_(stats__n_xIndir_misses_32);

/* The main thread's stack, which grows by faults. */
extern Bool VG_(am_addr_is_in_extensible_client_stack)(Addr addr);
extern Bool VG_(extend_stack)(ThreadId tid, Addr addr);

/* Wrapped at link time (--wrap): the core's calls come to us first. */
extern void __real_vgPlain_sigframe_create(ThreadId tid, Bool on_altstack, Addr top,
                                           const void *info, const void *uc, void *handler,
                                           UInt flags, const void *mask, void *restorer);
extern void __wrap_vgPlain_sigframe_create(ThreadId tid, Bool on_altstack, Addr top,
                                           const void *info, const void *uc, void *handler,
                                           UInt flags, const void *mask, void *restorer);
extern void __real_vgPlain_sigframe_destroy(ThreadId tid, Bool is_rt);
extern void __wrap_vgPlain_sigframe_destroy(ThreadId tid, Bool is_rt);
extern void __real_vgPlain_nuke_all_threads_except(ThreadId me, UInt src);
extern void __wrap_vgPlain_nuke_all_threads_except(ThreadId me, UInt src);
extern void __real_vgPlain_reap_threads(ThreadId me);
extern void __wrap_vgPlain_reap_threads(ThreadId me);
extern void __real_vgPlain_print_preamble(Bool to_fd);
extern void __wrap_vgPlain_print_preamble(Bool to_fd);
extern void __real_vgPlain_synth_fault_perms(ThreadId tid, Addr a);
extern void __wrap_vgPlain_synth_fault_perms(ThreadId tid, Addr a);
extern void __real_vgPlain_synth_fault_mapping(ThreadId tid, Addr a);
extern void __wrap_vgPlain_synth_fault_mapping(ThreadId tid, Addr a);
/* Debug information: the core notices mappings of objects, looks at the segment, and reads. */
extern ULong __real_vgPlain_di_notify_mmap(Addr a, Bool allow_SkFileV, Int use_fd);
extern ULong __wrap_vgPlain_di_notify_mmap(Addr a, Bool allow_SkFileV, Int use_fd);
extern NSegment const *__real_vgPlain_am_find_nsegment(Addr a);
extern NSegment const *__wrap_vgPlain_am_find_nsegment(Addr a);
extern Bool __real_vgPlain_use_CF_info(void *uregs, Addr min_accessible, Addr max_accessible);
extern Bool __wrap_vgPlain_use_CF_info(void *uregs, Addr min_accessible, Addr max_accessible);

extern void VG_(discard_translations)(Addr start, ULong range, const HChar *who);

/* A system call of our own, past the core; a fifth argument is 0. */
static inline Long
rtm_raw_syscall(Long no, HWord a, HWord b, HWord c, HWord d)
{
    register HWord r10 __asm__("r10") = d;
    register HWord r8 __asm__("r8") = 0;
    Long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "0"(no), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return ret;
}

#endif
