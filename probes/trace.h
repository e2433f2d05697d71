/* SPDX-License-Identifier: MIT
 *
 * Static probes (USDT), one no-op instruction each until a tracer attaches:
 *
 *     elision:abort     site name, status word, enum elision_abort, cycles
 *     elision:fallback  site name, failed attempts      a section takes the lock after aborts
 *     elision:giveup    site name, sections to skip
 *     elision:reprobe   site name
 *
 * All fire outside transactions. See docs of bpftrace: usdt:libelision.so:elision:abort.
 */
#ifndef ELISION_PROBES_TRACE_H
#define ELISION_PROBES_TRACE_H

#if defined(__linux__) && defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#endif
#endif

#ifdef DTRACE_PROBE1
#define ELISION_TRACE_ABORT(site, status, reason, cycles) \
    DTRACE_PROBE4(elision, abort, site, status, reason, cycles)
#define ELISION_TRACE_FALLBACK(site, failed) DTRACE_PROBE2(elision, fallback, site, failed)
#define ELISION_TRACE_GIVEUP(site, skip) DTRACE_PROBE2(elision, giveup, site, skip)
#define ELISION_TRACE_REPROBE(site) DTRACE_PROBE1(elision, reprobe, site)
#else
#define ELISION_TRACE_ABORT(site, status, reason, cycles) ((void)0)
#define ELISION_TRACE_FALLBACK(site, failed) ((void)0)
#define ELISION_TRACE_GIVEUP(site, skip) ((void)0)
#define ELISION_TRACE_REPROBE(site) ((void)0)
#endif

#endif
