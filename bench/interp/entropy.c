/* SPDX-License-Identifier: MIT */
/* Preloaded into interpreters whose figures are emulated: getrandom always answers the same.
 *
 * The free-threaded interpreter's allocator places its pages by what getrandom says, and conflicts
 * depend on what shares a page's lines; with the host's entropy no two runs would be alike. The
 * allocator calls getrandom through syscall(2)'s wrapper, so that is stood in for too. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef long syscall_fn(long number, ...);

ssize_t
getrandom(void *buffer, size_t size, unsigned flags)
{
    (void)flags;
    memset(buffer, 0x5a, size);
    return (ssize_t)size;
}

long
syscall(long number, ...)
{
    static syscall_fn *real;
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) {
        arguments[i] = va_arg(list, long);
    }
    va_end(list);
    if (number == SYS_getrandom) {
        return getrandom((void *)(uintptr_t)arguments[0], (size_t)arguments[1], 0);
    }
    if (real == NULL) {
        real = (syscall_fn *)(uintptr_t)dlsym(RTLD_NEXT, "syscall");
        if (real == NULL) {
            abort();
        }
    }
    return real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                arguments[5]);
}
