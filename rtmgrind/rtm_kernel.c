/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The program's memory as the kernel reads and writes it, in system calls.
 *
 * The core tells before a call what it reads and may write, and afterwards what
 * it wrote; transactions that are in the way abort at both times. In between,
 * while a call waits, others may begin in the same lines and abort for whatever
 * reason: they put back what was there, except where the kernel may have
 * written by then.
 */

#include "rtm_lines.h"
#include "rtm_sys.h"
#include "rtm_sched.h"

void
rtm_kernel_access(Addr a, SizeT n, Bool write)
{
    Addr line = rtm_line_at(a);
    const Addr end = a + n;

    if (rtm_live == 0 || n == 0) {
        return;
    }
    if (n > (1UL << 20)) { /* dearer to walk than to abort */
        rtm_tx_abort_all(RTM_C_CONFLICT, "large kernel access");
        return;
    }
    for (; line < end; line += RTM_LINE) {
        struct rtm_line *l = rtm_find_line(line);
        if (l) {
            /* the kernel works on behalf of the running thread, which has
               no transaction any more */
            rtm_take(l, -1, rtm_part_of(line, a, n, write));
        }
    }
}

/* ------------------------------------------------------------------ */
/* What calls that have begun may write                                */

static struct outputs {
    struct range {
        Addr start, end;
    } * of;
    Int n, cap;
} outputs[RTM_MAX_THREADS];
static Int n_outputs; /* of all threads */

void
rtm_kernel_may_write(ThreadId tid, Addr a, SizeT n)
{
    struct outputs *o = &outputs[tid];

    rtm_kernel_access(a, n, True);
    if (n == 0 || !rtm_threads[tid].in_syscall) {
        return;
    }
    if (o->n == o->cap) {
        o->cap = o->cap ? 2 * o->cap : 4;
        o->of = VG_(realloc)("rtm.outputs", o->of, o->cap * sizeof *o->of);
    }
    o->of[o->n++] = (struct range){a, a + n};
    n_outputs++;
}

void
rtm_kernel_over(ThreadId tid)
{
    n_outputs -= outputs[tid].n;
    outputs[tid].n = 0;
}

void
rtm_kernel_forget_others(ThreadId me)
{
    ThreadId i;

    for (i = 0; i < RTM_MAX_THREADS; i++) {
        if (i != me) {
            rtm_kernel_over(i);
        }
    }
}

/* A bit for each byte of the line that some call may write. */
static ULong
bytes_written(Addr line)
{
    ULong bytes = 0;
    Int i, j, k;

    for (i = 1; i <= rtm_sched.max_thread; i++) {
        for (j = 0; j < outputs[i].n; j++) {
            const struct range r = outputs[i].of[j];
            for (k = 0; k < RTM_LINE && r.start < line + RTM_LINE && r.end > line; k++) {
                bytes |= (ULong)(line + k >= r.start && line + k < r.end) << k;
            }
        }
    }
    return bytes;
}

void
rtm_kernel_restore(Addr line, const UChar *old)
{
    const ULong written = n_outputs ? bytes_written(line) : 0;
    Int i;

    if (!written) {
        rtm_copy((void *)line, old, RTM_LINE);
        return;
    }
    for (i = 0; i < RTM_LINE; i++) {
        if (!(written >> i & 1)) {
            ((UChar *)line)[i] = old[i];
        }
    }
}

/* ------------------------------------------------------------------ */
/* Calls whose memory the core does not know                           */

/* process_vm_readv and process_vm_writev: the remote side, where that is this process. */
void
rtm_kernel_remote(Int pid, Addr vector, SizeT n, Bool write)
{
    struct vki_iovec v;

    if (pid != VG_(getpid)() && !rtm_thread_with(pid)) {
        return;
    }
    for (; n > 0 && rtm_get(vector, &v, sizeof v); n--, vector += sizeof v) {
        rtm_kernel_access((Addr)v.iov_base, v.iov_len, write);
    }
}

/* io_uring: the kernel goes on reading and writing behind the calls, which no transaction would
 * notice, and a rollback would undo. As on a system that has none. */
HWord
rtm_sys_io_uring(VexGuestAMD64State *gs)
{
    static Bool said;

    if (!said && VG_(clo_verbosity) > 0) {
        VG_(umsg)("rtmgrind: io_uring_setup fails: what it does is not seen by transactions\n");
        said = True;
    }
    return rtm_sys_done(gs, -VKI_ENOSYS);
}
