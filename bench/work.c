/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "bench/work.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench/locks.h"
#include "elision/tx.h"

/* xorshift64: three shifts, no multiplication, no memory but the thread's own. */
static uint64_t
roll(struct work_thread *t)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return t->random;
}

static void
reset_none(void)
{
}

static bool
check_none(const struct work_thread *threads, int count, uint64_t sections)
{
    (void)threads, (void)count, (void)sections;
    return true;
}

/* Nothing was seen to be wrong inside a section. */
static bool
check_seen(const struct work_thread *threads, int count, uint64_t sections)
{
    (void)sections;
    for (int i = 0; i < count; i++) {
        if (threads[i].wrong != 0) {
            return false;
        }
    }
    return true;
}

/* --- empty, disjoint, counter ------------------------------------------------------------------*/

static void
empty_section(struct work_thread *t)
{
    (void)t;
}

static void
disjoint_section(struct work_thread *t)
{
    for (int i = 0; i < 8; i++) {
        t->own[i]++;
    }
}

static bool
disjoint_check(const struct work_thread *threads, int count, uint64_t sections)
{
    uint64_t sum = 0;
    for (int i = 0; i < count; i++) {
        sum += threads[i].own[7];
    }
    return sum == sections;
}

static struct {
    _Alignas(128) uint64_t value;
} counter;

static void
counter_reset(void)
{
    counter.value = 0;
}

static void
counter_section(struct work_thread *t)
{
    (void)t;
    counter.value++;
}

static bool
counter_check(const struct work_thread *threads, int count, uint64_t sections)
{
    (void)threads, (void)count;
    return counter.value == sections;
}

/* --- bank: transfers between accounts, now and then an audit ----------------------------------*/

enum { ACCOUNTS = 256, DEPOSIT = 1000, AUDIT_EVERY = 64 };

static struct {
    _Alignas(64) int64_t balance;
} accounts[ACCOUNTS];

static void
bank_reset(void)
{
    for (int i = 0; i < ACCOUNTS; i++) {
        accounts[i].balance = DEPOSIT;
    }
}

static int64_t
bank_sum(void)
{
    int64_t sum = 0;
    for (int i = 0; i < ACCOUNTS; i++) {
        sum += accounts[i].balance;
    }
    return sum;
}

static void
bank_section(struct work_thread *t)
{
    uint64_t dice = roll(t);
    if (dice % AUDIT_EVERY == 0) {
        t->wrong += bank_sum() != (int64_t)ACCOUNTS * DEPOSIT;
        return;
    }
    int64_t amount = (int64_t)(dice >> 48) % 10;
    accounts[(dice >> 8) % ACCOUNTS].balance -= amount;
    accounts[(dice >> 24) % ACCOUNTS].balance += amount;
}

static bool
bank_check(const struct work_thread *threads, int count, uint64_t sections)
{
    return check_seen(threads, count, sections) && bank_sum() == (int64_t)ACCOUNTS * DEPOSIT;
}

/* --- map: open addressing, half full; reads, or toggles of membership -------------------------*/

enum { SLOTS = 4096, KEYS = 4096, PROBES = 16, TOMB = 1 };

static _Alignas(64) uint64_t slots[SLOTS]; /* 0 empty, TOMB deleted, else a key from 2 on */
static _Alignas(128) int64_t map_size;

static uint64_t
slot_of(uint64_t key, int probe)
{
    return (key * 0x9e3779b97f4a7c15U + (uint64_t)probe * 0x100000000U) >> 32 & (SLOTS - 1);
}

static bool
map_has(uint64_t key)
{
    for (int probe = 0; probe < PROBES; probe++) {
        uint64_t held = slots[slot_of(key, probe)];
        if (held == key || held == 0) {
            return held == key;
        }
    }
    return false;
}

/* Puts the key in if it is absent and there is room nearby, else takes it out. */
static int
map_toggle(uint64_t key)
{
    uint64_t *room = NULL;
    for (int probe = 0; probe < PROBES; probe++) {
        uint64_t *slot = &slots[slot_of(key, probe)];
        if (*slot == key) {
            *slot = TOMB;
            return -1;
        }
        if (room == NULL && (*slot == 0 || *slot == TOMB)) {
            room = slot;
        }
        if (*slot == 0) {
            break;
        }
    }
    if (room == NULL) {
        return 0;
    }
    *room = key;
    return 1;
}

static void
map_reset(void)
{
    memset(slots, 0, sizeof slots);
    for (uint64_t key = 2; key < 2 + KEYS; key += 2) {
        map_toggle(key);
    }
}

static void
map_read_section(struct work_thread *t)
{
    uint64_t dice = roll(t);
    uint64_t key = 2 + (dice >> 16) % KEYS;
    if (dice % 32 == 0) {
        t->own[0] += (uint64_t)map_toggle(key);
    }
    else {
        t->own[1] += map_has(key);
    }
}

static void
map_write_section(struct work_thread *t)
{
    uint64_t dice = roll(t);
    uint64_t key = 2 + (dice >> 16) % KEYS;
    if (dice % 2 == 0) {
        t->own[0] += (uint64_t)map_toggle(key);
    }
    else {
        t->own[1] += map_has(key);
    }
}

/* No key is in twice, and as many are in as the threads say they left. */
static bool
map_check(const struct work_thread *threads, int count, uint64_t sections)
{
    static uint8_t seen[2 + KEYS];
    (void)sections;
    memset(seen, 0, sizeof seen);
    int64_t held = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i] > TOMB && (held++, seen[slots[i]]++) != 0) {
            return false;
        }
    }
    int64_t left = map_size;
    for (int i = 0; i < count; i++) {
        left += (int64_t)threads[i].own[0];
    }
    return held == left;
}

static void
map_reset_counted(void)
{
    map_reset();
    map_size = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        map_size += slots[i] > TOMB;
    }
}

/* --- list: sorted, of short reach; contains, or toggles ----------------------------------------*/

enum { NODES = 128, NODE_STRIDE = 2 };

static struct {
    _Alignas(64) uint32_t next; /* index; 0 ends the list */
    bool in;
} nodes[NODES + 1]; /* node 0 is the head; node k holds value k */

static void
list_reset(void)
{
    memset(nodes, 0, sizeof nodes);
    uint32_t last = 0;
    for (uint32_t k = 1; k <= NODES; k += NODE_STRIDE) {
        nodes[last].next = k;
        nodes[k].in = true;
        last = k;
    }
}

static void
list_section(struct work_thread *t)
{
    uint64_t dice = roll(t);
    uint32_t wanted = 1 + (uint32_t)(dice >> 16) % NODES;
    uint32_t before = 0;
    while (nodes[before].next != 0 && nodes[before].next < wanted) {
        before = nodes[before].next;
    }
    bool in = nodes[before].next == wanted;
    t->wrong += in != nodes[wanted].in;
    if (dice % 5 != 0) {
        return;
    }
    if (in) {
        nodes[before].next = nodes[wanted].next;
    }
    else {
        nodes[wanted].next = nodes[before].next;
        nodes[before].next = wanted;
    }
    nodes[wanted].in = !in;
}

static bool
list_check(const struct work_thread *threads, int count, uint64_t sections)
{
    uint32_t reached = 0;
    uint32_t in = 0;
    for (uint32_t k = nodes[0].next; k != 0; k = nodes[k].next) {
        if (++reached > NODES || (nodes[k].next != 0 && nodes[k].next <= k)) {
            return false;
        }
    }
    for (uint32_t k = 1; k <= NODES; k++) {
        in += nodes[k].in;
    }
    return check_seen(threads, count, sections) && reached == in;
}

/* --- scan, capacity: many lines read, or written -----------------------------------------------*/

enum { LINES = 2048, LINE_WORDS = 8, SCANNED = 512 };

static _Alignas(64) uint64_t lines[LINES][LINE_WORDS];

static void
lines_reset(void)
{
    memset(lines, 0, sizeof lines);
}

static void
scan_section(struct work_thread *t)
{
    uint64_t sum = 0;
    for (int i = 0; i < SCANNED; i++) {
        sum += lines[i][0];
    }
    t->own[0] += sum + 1;
}

static bool
scan_check(const struct work_thread *threads, int count, uint64_t sections)
{
    uint64_t sum = 0;
    for (int i = 0; i < count; i++) {
        sum += threads[i].own[0];
    }
    return sum == sections;
}

/* 128 KiB written: more than any L1 data cache holds. */
static void
capacity_section(struct work_thread *t)
{
    (void)t;
    for (int i = 0; i < LINES; i++) {
        lines[i][0]++;
    }
}

static bool
capacity_check(const struct work_thread *threads, int count, uint64_t sections)
{
    (void)threads, (void)count;
    for (int i = 0; i < LINES; i++) {
        if (lines[i][0] != sections) {
            return false;
        }
    }
    return true;
}

/* --- syscall, phase ----------------------------------------------------------------------------*/

static void
syscall_section(struct work_thread *t)
{
    disjoint_section(t);
    if (roll(t) % 100 == 0) {
        t->wrong += syscall(SYS_gettid) <= 0;
    }
}

/* What suits a transaction turns, every so many sections, into what does not. */
enum { PHASE = 4096 };

static void
phase_section(struct work_thread *t)
{
    if (t->sections / PHASE % 2 == 0) {
        disjoint_section(t);
    }
    else {
        t->own[7]++;
        counter.value++;
    }
}

#define WORK(NAME, RESET, SECTION, CHECK)                                \
    {                                                                    \
        .name = NAME, .reset = RESET, .section = SECTION, .check = CHECK \
    }

const struct work bench_works[] = {
    WORK("empty", reset_none, empty_section, check_none),
    WORK("disjoint", reset_none, disjoint_section, disjoint_check),
    WORK("counter", counter_reset, counter_section, counter_check),
    WORK("bank", bank_reset, bank_section, bank_check),
    WORK("map-read", map_reset_counted, map_read_section, map_check),
    WORK("map-write", map_reset_counted, map_write_section, map_check),
    WORK("list", list_reset, list_section, list_check),
    WORK("scan", lines_reset, scan_section, scan_check),
    WORK("capacity", lines_reset, capacity_section, capacity_check),
    WORK("syscall", reset_none, syscall_section, disjoint_check),
    WORK("phase", counter_reset, phase_section, disjoint_check),
    {.name = NULL},
};

/* --- For real locks only: a section that sleeps; work between sections -------------------------*/

static void
hold_section(struct work_thread *t)
{
    nanosleep(&(struct timespec){.tv_nsec = 200 * 1000}, NULL);
    t->own[7]++;
}

const struct work bench_work_hold = {
    .name = "hold",
    .reset = reset_none,
    .section = hold_section,
    .check = disjoint_check,
    .batch = 1,
};

/* About 200 ns, of this thread's own. */
static void
think_outside(struct work_thread *t)
{
    for (int i = 0; i < 64; i++) {
        roll(t);
    }
}

const struct work bench_work_think = {
    .name = "think",
    .reset = counter_reset,
    .section = counter_section,
    .check = counter_check,
    .outside = think_outside,
};

void
bench_work_begin(struct work_thread *t, const struct work *work, int number, bool asks)
{
    memset(t, 0, sizeof *t);
    t->work = work;
    t->asks = asks;
    t->random = 0x9e3779b97f4a7c15U * (uint64_t)(number + 1);
}

ELISION_TX void
bench_section(struct work_thread *t)
{
    t->work->section(t);
    t->sections++;
    if (t->asks && elision_tx_active_()) {
        t->speculative++;
    }
}

const struct work *
bench_work(const char *name)
{
    for (const struct work *work = bench_works; work->name != NULL; work++) {
        if (strcmp(work->name, name) == 0) {
            return work;
        }
    }
    return NULL;
}
