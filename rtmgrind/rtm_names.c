/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names of code and data, and who reads them. The core reads the debug information of each object
 * when it is mapped, which is half of what a short program's run costs. Only reports and stack
 * traces need it: here its reading is put off until one of them asks, and then what nobody asks
 * for is not read at all.
 */

#include "rtm_count.h"
#include "rtm_core.h"
#include "pub_tool_debuginfo.h"

/* Mappings of files as they were when they were made: the dynamic linker's first mapping of a file
 * covers all of it, later ones lie over that, and protection changes. */
static NSegment *mapped;
static Int n_mapped, cap_mapped;
static const NSegment *replayed; /* what am_find_nsegment is to say of its start, or NULL */

static Bool
is_same_file(const NSegment *a, const NSegment *b)
{
    return a->kind == b->kind && a->dev == b->dev && a->ino == b->ino;
}

/* Is the file still there? Its name is not kept any longer than that. */
static Bool
is_mapped(const NSegment *s)
{
    const NSegment *now = VG_(am_find_nsegment)(s->start);

    return now && is_same_file(now, s);
}

static void
drop_unmapped(void)
{
    Int i, n = 0;

    for (i = 0; i < n_mapped; i++) {
        if (is_mapped(&mapped[i])) {
            mapped[n++] = mapped[i];
        }
    }
    n_mapped = n;
}

static void
make_room(void)
{
    drop_unmapped();
    if (n_mapped >= cap_mapped / 2) {
        cap_mapped = cap_mapped ? 2 * cap_mapped : 64;
        mapped = VG_(realloc)("rtm.mapped", mapped, cap_mapped * sizeof *mapped);
    }
}

/* A mapping was made. ret: nothing was read */
ULong
__wrap_vgPlain_di_notify_mmap(Addr a, Bool valgrinds_too, Int fd)
{
    const NSegment *s = VG_(am_find_nsegment)(a);

    (void)fd;
    if (s && (s->kind == SkFileC || (s->kind == SkFileV && valgrinds_too))) {
        if (n_mapped == cap_mapped) {
            make_room();
        }
        mapped[n_mapped++] = *s;
    }
    return 0;
}

NSegment const *
__wrap_vgPlain_am_find_nsegment(Addr a)
{
    return replayed && replayed->start == a ? replayed : __real_vgPlain_am_find_nsegment(a);
}

/* Has the core read what it can about the file; NULL: about all. */
static void
read_names(const NSegment *file)
{
    const Int n = n_mapped;
    Int i;

    n_mapped = 0; /* whatever fails does not come here again */
    for (i = 0; i < n; i++) {
        const NSegment s = mapped[i];
        if (file && !is_same_file(file, &s)) {
            mapped[n_mapped++] = s;
        }
        else if (is_mapped(&s)) {
            replayed = &s;
            __real_vgPlain_di_notify_mmap(s.start, s.kind == SkFileV, -1);
            replayed = NULL;
        }
    }
}

/* What names there are near a are known from now on. What has no contents in the file, .bss, lies
 * behind what has. */
void
rtm_names_read(Addr a)
{
    const NSegment *s = VG_(am_find_nsegment)(a);

    while (s && s->kind == SkAnonC && s->start > 0) {
        s = VG_(am_find_nsegment)(s->start - 1);
    }
    if (n_mapped > 0 && s && s->kind == SkFileC) {
        const NSegment file = *s;
        read_names(&file);
    }
}

/* The core walks a stack. */
Bool
__wrap_vgPlain_use_CF_info(void *regs, Addr least, Addr most)
{
    if (n_mapped > 0) {
        read_names(NULL);
    }
    return __real_vgPlain_use_CF_info(regs, least, most);
}

const HChar *
rtm_where(Addr pc, HChar *buf, SizeT size)
{
    const HChar *fn, *file, *dir;
    UInt line;
    DiEpoch ep;
    Int n;

    if (!pc) {
        return "the kernel";
    }
    rtm_names_read(pc);
    ep = VG_(current_DiEpoch)();
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

const HChar *
rtm_what_is(Addr a, HChar *buf, SizeT size)
{
    const HChar *name;
    PtrdiffT offset;

    rtm_names_read(a);
    if (VG_(get_datasym_and_offset)(VG_(current_DiEpoch)(), a, &name, &offset)) {
        VG_(snprintf)(buf, size, "%s+%ld", name, offset);
    }
    else {
        const NSegment *seg = VG_(am_find_nsegment)(a);
        VG_(snprintf)(buf, size, "0x%lx%s", a, seg && seg->isCH ? " (heap)" : "");
    }
    return buf;
}
