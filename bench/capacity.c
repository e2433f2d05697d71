/* SPDX-License-Identifier: MIT */
/* How much a transaction may read or write: the suite capacity.
 *
 *   capacity/KIND/STATE/LINES    transactions that touch so many lines, 64 bytes each
 *
 * KIND is write or read (neighbouring lines, so that all sets fill evenly), or write-one-set (lines
 * 4096 bytes apart, which share a set of an L1 data cache with 64 sets). STATE is what the cache
 * has when a transaction begins: warm, the lines have just been touched; or cold, they were
 * flushed. */
#include "bench/suites.h"
#include "elision/tx.h"

#if defined(__x86_64__)
#define flush_line(p) __builtin_ia32_clflush(p)
#define fence() __builtin_ia32_mfence()
#else
#define flush_line(p) ((void)(p))
#define fence() ((void)0)
#endif

enum { LINE = 64, SET_STRIDE = 4096, AREA = 8 << 20, ROUNDS = 8 };

struct curve {
    const char *name;
    bool writes;
    bool cold;
    size_t stride;
    const int64_t *lines; /* ends with -1 */
};

static _Alignas(SET_STRIDE) volatile char area[AREA];

/* One transaction: touches lines by instructions that do nothing else to memory.
 * ret:   ELISION_TX_STARTED if it committed, or its status */
static ELISION_TX uint32_t
touch(const struct curve *curve, int64_t lines)
{
    const size_t stride = curve->stride;
    const bool writes = curve->writes;
    uint32_t status = elision_tx_begin_();
    if (status == ELISION_TX_STARTED) {
        volatile char *p = area;
        for (int64_t i = 0; i < lines; i++, p += stride) {
            if (writes) {
                *p = 1;
            }
            else {
                (void)*p;
            }
        }
        elision_tx_commit_();
    }
    return status;
}

static void
prepare(const struct curve *curve, int64_t lines)
{
    for (int64_t i = 0; i < lines; i++) {
        volatile char *p = &area[(size_t)i * curve->stride];
        if (curve->cold) {
            flush_line((const void *)p);
        }
        else {
            *p = 1;
        }
    }
    fence();
}

/* Every page is touched before the first transaction may be its first user. */
static void
set_up(int threads, void *arg)
{
    static bool done;
    (void)threads, (void)arg;
    for (size_t i = 0; i < AREA && !done; i += SET_STRIDE) {
        area[i] = 1;
    }
    done = true;
}

static void
run_curve(struct bench *b, void *arg)
{
    const struct curve *curve = arg;
    const int64_t lines = bench_value(b);
    uint64_t commits = 0;
    uint64_t capacity = 0;
    uint64_t starts = 0;
    if (!bench_place(b)) {
        return;
    }
    while (bench_next(b, ROUNDS)) {
        for (int i = 0; i < ROUNDS; i++) {
            prepare(curve, lines);
            uint32_t status = touch(curve, lines);
            starts++;
            commits += status == ELISION_TX_STARTED;
            capacity += status != ELISION_TX_STARTED && (status & ELISION_TX_CAPACITY) != 0;
        }
    }
    bench_counter(b, "starts", (double)starts, BENCH_SUM);
    bench_counter(b, "commits", (double)commits, BENCH_SUM);
    bench_counter(b, "abort_capacity", (double)capacity, BENCH_SUM);
    bench_counter(b, "commit_rate", starts != 0 ? (double)commits / (double)starts : 0, BENCH_SUM);
    if (commits + capacity == 0) {
        bench_fail(b, "no transaction committed, and none aborted for its size");
    }
}

void
bench_suite_capacity(void)
{
    static const int64_t written[] = {1,   8,   64,  256, 384, 448,  496, 504, 512,
                                      520, 576, 640, 704, 736, 752,  760, 768, 776,
                                      784, 800, 832, 896, 960, 1024, -1};
    static const int64_t ways[] = {1, 2, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, -1};
    static const int64_t read[] = {64, 512, 4096, 8192, 16384, 32768, 49152, 65536, 98304, -1};
    static struct curve curves[] = {
        {"capacity/write/warm", true, false, LINE, written},
        {"capacity/write/cold", true, true, LINE, written},
        {"capacity/write-one-set/warm", true, false, SET_STRIDE, ways},
        {"capacity/write-one-set/cold", true, true, SET_STRIDE, ways},
        {"capacity/read/warm", false, false, LINE, read},
        {"capacity/read/cold", false, true, LINE, read},
    };
    if (!elision_verdict()->can_elide) {
        bench_skip("capacity", "no transactions on this machine");
        return;
    }
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        bench_register(&(struct bench_spec){.name = curves[i].name,
                                            .run = run_curve,
                                            .set_up = set_up,
                                            .arg = &curves[i],
                                            .values = curves[i].lines});
    }
}
