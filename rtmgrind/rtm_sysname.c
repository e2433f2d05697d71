/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * System calls by name, for reports: those that programs make where transactions might run.
 */

#include "rtm_sys.h"

const HChar *
rtm_sys_name(Int no)
{
    static HChar names[512][16];
    static const struct {
        Int no;
        const HChar *name;
    } known[] = {
        {__NR_read, "read"},
        {__NR_write, "write"},
        {__NR_mmap, "mmap"},
        {__NR_munmap, "munmap"},
        {__NR_mprotect, "mprotect"},
        {__NR_brk, "brk"},
        {__NR_madvise, "madvise"},
        {__NR_futex, "futex"},
        {__NR_sched_yield, "sched_yield"},
        {__NR_nanosleep, "nanosleep"},
        {__NR_clock_nanosleep, "clock_nanosleep"},
        {__NR_clone, "clone"},
        {__NR_fork, "fork"},
        {__NR_execve, "execve"},
        {__NR_exit, "exit"},
        {__NR_exit_group, "exit_group"},
        {__NR_openat, "openat"},
        {__NR_close, "close"},
        {__NR_getpid, "getpid"},
        {__NR_gettid, "gettid"},
        {__NR_clock_gettime, "clock_gettime"},
        {__NR_rt_sigprocmask, "rt_sigprocmask"},
        {__NR_getppid, "getppid"},
        {__NR_rt_sigaction, "rt_sigaction"},
        {__NR_tgkill, "tgkill"},
        {__NR_mremap, "mremap"},
        {__NR_poll, "poll"},
        {__NR_ioctl, "ioctl"},
        {SYS_CLONE3, "clone3"},
        {__NR_vfork, "vfork"},
    };
    SizeT i;

    for (i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].no == no) {
            return known[i].name;
        }
    }
    if (no < 0 || no >= 512) {
        return "syscall";
    }
    VG_(snprintf)(names[no], sizeof names[no], "syscall %d", no);
    return names[no];
}
