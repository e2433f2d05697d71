/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Prints what a transaction does under the options this program was started with, for model.sh:
 *
 *   cpuid                 the processor's signature; RTM, RTM_ALWAYS_ABORT, TSXLDTRK, HLE
 *   begin                 status of an empty transaction
 *   write-set STRIDE      the first N for which writing N lines, STRIDE bytes apart, aborts; status
 *   write-sets SETS N     status of writing N lines in each of SETS neighbouring sets
 *   read-set              the same as write-set for reading neighbouring lines
 *   rate N STATUS         how many of N transactions abort with STATUS (hex), and how many at all
 *   spin CYCLES           status of a transaction that spins so long
 *   step                  a small transaction once: status, and whether all of it is undone or done
 */

#include "rtmgrind/tests/litmus.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { AREA = 1 << 26 };
static char *area;

/* A transaction that touches n lines and nothing else, not even the stack. */
static unsigned
touch(char *p, long stride, long n, int write)
{
    unsigned status = STARTED;

    __asm__ volatile("xbegin 3f\n"
                     "1: cmp $0, %[write]\n\tje 2f\n\tmovb $1, (%[p])\n"
                     "2: cmpb $0, (%[p])\n\tadd %[stride], %[p]\n\tdec %[n]\n\tjnz 1b\n\t"
                     "xend\n"
                     "3:"
                     : "+a"(status), [p] "+r"(p), [n] "+r"(n)
                     : [stride] "r"(stride), [write] "r"(write)
                     : "memory", "cc");
    return status;
}

static void
first_too_many(long stride, int write, long most)
{
    long n;

    for (n = 1; n <= most; n++) {
        const unsigned status = touch(area, stride, n, write);
        if (status != STARTED) {
            printf("%ld %#x\n", n, status);
            return;
        }
    }
    puts("none");
}

static void
many_sets(long sets, long n)
{
    unsigned status = STARTED;
    char *p = area;
    long i = n;

    /* n rows of `sets` lines, each row on the next 64 * 64 bytes */
    __asm__ volatile("xbegin 3f\n"
                     "1: mov %[sets], %%rcx\n\tmov %[p], %%rdx\n"
                     "2: movb $1, (%%rdx)\n\tadd $64, %%rdx\n\tdec %%rcx\n\tjnz 2b\n\t"
                     "add $4096, %[p]\n\tdec %[i]\n\tjnz 1b\n\txend\n3:"
                     : "+a"(status), [p] "+r"(p), [i] "+r"(i)
                     : [sets] "r"(sets)
                     : "rcx", "rdx", "memory", "cc");
    printf("%#x\n", status);
}

static void
cpuid(void)
{
    unsigned signature = 1, a = 7, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(signature), "=b"(b), "+c"(c), "=d"(d));
    c = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    printf("signature=%#x ", signature);
    printf("rtm=%u always_abort=%u tsxldtrk=%u hle=%u\n", b >> 11 & 1, d >> 11 & 1, d >> 16 & 1,
           b >> 4 & 1);
}

static void
rate(int n, unsigned wanted)
{
    int i, aborts = 0, matching = 0;

    for (i = 0; i < n; i++) {
        const unsigned status = IN_TX(area[0]++);
        aborts += status != STARTED;
        matching += status == wanted;
    }
    printf("%d %d\n", matching, aborts);
}

static struct line a, b;

/* Two lines and two registers change together, or not at all. */
static void
step(void)
{
    uint64_t x = 1, y = 1;
    unsigned status = STARTED;
    const char *outcome = "torn";

    a.word[0] = b.word[0] = 1;
    __asm__ volatile("xbegin 1f\n\t"
                     "movq $2, (%[a])\n\tmov $2, %[x]\n\tincq (%[a])\n\tmovq (%[a]), %[y]\n\t"
                     "movq %[y], (%[b])\n\tmov $3, %[x]\n\tpush %[x]\n\tpop %[y]\n\txend\n1:"
                     : "+a"(status), [x] "+r"(x), [y] "+r"(y)
                     : [a] "r"(&a), [b] "r"(&b)
                     : "memory", "cc");
    if (a.word[0] == 1 && b.word[0] == 1 && x == 1 && y == 1) {
        outcome = "undone";
    }
    else if (a.word[0] == 3 && b.word[0] == 3 && x == 3 && y == 3) {
        outcome = "done";
    }
    printf("%#x %s\n", status, outcome);
}

int
main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const long n = argc > 2 ? strtol(argv[2], NULL, 0) : 0;
    const long m = argc > 3 ? strtol(argv[3], NULL, 0) : 0;

    area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) {
        return 2;
    }
    if (!strcmp(what, "cpuid")) {
        cpuid();
    }
    else if (!strcmp(what, "begin")) {
        printf("%#x\n", IN_TX((void)0));
    }
    else if (!strcmp(what, "write-set")) {
        first_too_many(n, 1, 2000);
    }
    else if (!strcmp(what, "write-sets")) {
        many_sets(n, m);
    }
    else if (!strcmp(what, "read-set")) {
        first_too_many(LINE, 0, n);
    }
    else if (!strcmp(what, "rate")) {
        rate((int)n, (unsigned)m);
    }
    else if (!strcmp(what, "spin")) {
        const uint64_t until = now() + (uint64_t)n;
        printf("%#x\n", IN_TX(wait_until(until)));
    }
    else if (!strcmp(what, "step")) {
        step();
    }
    else {
        return 2;
    }
    return 0;
}
