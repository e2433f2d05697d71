/* SPDX-License-Identifier: MIT
 *
 * Client requests of rtmgrind, the RTM emulator.  A program may include this
 * file and make them whether or not it runs under rtmgrind: natively each is a
 * few instructions without effect, and yields 0.
 *
 * Needs valgrind/valgrind.h (itself under a BSD-style licence) when compiling,
 * nothing when running.  With RTMGRIND_NO_REQUESTS defined, or where that
 * header is missing, all requests are constants.
 *
 * tx: every request may be made inside a transaction; none aborts it.
 */

#ifndef RTMGRIND_H
#define RTMGRIND_H

#if !defined(RTMGRIND_NO_REQUESTS) && defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define RTMGRIND_HAVE_REQUESTS 1
#elif defined(VALGRIND_DO_CLIENT_REQUEST_EXPR)
#define RTMGRIND_HAVE_REQUESTS 1
#endif
#endif

/* ('R' << 24 | 'T' << 16) is the tool's base, as valgrind.h defines it. */
enum rtmgrind_request {
    RTMGRIND_REQ_EMULATED = 0x52540000,
    RTMGRIND_REQ_CLOCK,
    RTMGRIND_REQ_RESET_STATS,
    RTMGRIND_REQ_DUMP_STATS,
    RTMGRIND_REQ_LABEL_PUSH,
    RTMGRIND_REQ_LABEL_POP
};

#ifdef RTMGRIND_HAVE_REQUESTS
#define RTMGRIND_REQUEST(req, arg) VALGRIND_DO_CLIENT_REQUEST_EXPR(0, (req), (arg), 0, 0, 0, 0)
#else
#define RTMGRIND_REQUEST(req, arg) (0 * (unsigned long)(arg))
#endif

/* 1 under rtmgrind, else 0. */
#define RTMGRIND_EMULATED() RTMGRIND_REQUEST(RTMGRIND_REQ_EMULATED, 0)

/* Virtual cycles of the calling thread; 0 natively. */
#define RTMGRIND_CLOCK() RTMGRIND_REQUEST(RTMGRIND_REQ_CLOCK, 0)

/* Forget all counts so far; the clocks run on. */
#define RTMGRIND_RESET_STATS() RTMGRIND_REQUEST(RTMGRIND_REQ_RESET_STATS, 0)

/* Print the report so far to stderr, headed by `name` (a string). */
#define RTMGRIND_DUMP_STATS(name) RTMGRIND_REQUEST(RTMGRIND_REQ_DUMP_STATS, (name))

/* Label what this thread does from now on: transactions that begin under a
 * label are reported under it.  The string is copied.  Labels nest to 32. */
#define RTMGRIND_LABEL_PUSH(label) RTMGRIND_REQUEST(RTMGRIND_REQ_LABEL_PUSH, (label))
#define RTMGRIND_LABEL_POP() RTMGRIND_REQUEST(RTMGRIND_REQ_LABEL_POP, 0)

#endif
