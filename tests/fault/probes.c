/* SPDX-License-Identifier: MIT
 *
 * The static probes: each is in this program's notes with its arguments, as a tracer reads them,
 * and fires when what it stands for happens and at no other time. A breakpoint is put where the
 * notes say, as a tracer would; the signal's handler counts. Statuses come from a script.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include "elision/core_priv.h"
#include "elision/elision.h"
#include "elision/tx.h"
#include "tests/fault/script.h"
#include "tests/unit/tap.h"

static elision_lock_t lock;
static elision_site_t site = ELISION_SITE_INIT("probes");

enum { ABORT = 0, FALLBACK = 1, GIVEUP = 2, REPROBE = 3, PROBES = 4, PLACES_MAX = 64 };

static const struct {
    const char *name;
    int arguments;
} probes[PROBES] = {{"abort", 4}, {"fallback", 2}, {"giveup", 2}, {"reprobe", 1}};

/* A probe's instruction. The compiler may copy what has a probe in it, so each may have several. */
static struct place {
    uint8_t *address;
    int probe;
} places[PLACES_MAX];
static int found;

static unsigned fired[PROBES];
static unsigned fired_inside; /* a transaction, where a tracer would abort it */

static void
trapped(int signal, siginfo_t *info, void *context)
{
    const ucontext_t *at = context;

    (void)signal;
    (void)info;
    /* The instruction after the breakpoint; what it stands in for does nothing, so go on there. */
    for (int i = 0; i < found; i++) {
        if ((uintptr_t)places[i].address + 1 == (uintptr_t)at->uc_mcontext.gregs[REG_RIP]) {
            fired[places[i].probe]++;
            fired_inside += elision_tx_active_() != 0;
        }
    }
}

static int
count_words(const char *text)
{
    int words = 0;

    for (const char *word = text; *word != '\0'; word += strspn(word, " ")) {
        words++;
        word += strcspn(word, " ");
    }
    return words;
}

/* One note: addresses of the probe, of the base section, of the semaphore; three strings. */
static void
take_note(const char *data)
{
    uint64_t address;
    const char *provider = data + 3 * sizeof(address);
    const char *name = provider + strlen(provider) + 1;
    const char *arguments = name + strlen(name) + 1;

    memcpy(&address, data, sizeof(address));
    if (strcmp(provider, "elision") != 0) {
        return; /* the C library has some too */
    }
    for (int i = 0; i < PROBES; i++) {
        if (strcmp(probes[i].name, name) == 0) {
            assert_true(found < PLACES_MAX);
            assert_int_equal(count_words(arguments), probes[i].arguments);
            /* This program is not relocated, so addresses are those of the file. */
            places[found++] = (struct place){.address = (uint8_t *)address, .probe = i};
            return;
        }
    }
    fail_msg("probes/trace.h has no probe called %s", name);
}

static void
read_notes(const char *file)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)file;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(file + header->e_shoff);
    const char *names = file + sections[header->e_shstrndx].sh_offset;

    assert_int_equal(header->e_type, ET_EXEC);
    for (int i = 0; i < header->e_shnum; i++) {
        if (strcmp(names + sections[i].sh_name, ".note.stapsdt") != 0) {
            continue;
        }
        const char *at = file + sections[i].sh_offset;
        for (const char *end = at + sections[i].sh_size; at < end;) {
            const Elf64_Nhdr *note = (const Elf64_Nhdr *)at;
            at += sizeof(*note) + (note->n_namesz + 3u) / 4 * 4;
            take_note(at);
            at += (note->n_descsz + 3u) / 4 * 4;
        }
    }
}

static int
set_up(void **unused)
{
    struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
    long page = sysconf(_SC_PAGESIZE);
    struct stat status;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    (void)unused;
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    const char *file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(file, MAP_FAILED);
    close(fd);
    read_notes(file);
    sigaction(SIGTRAP, &action, NULL);
    for (int i = 0; i < found; i++) {
        void *start = (void *)((uintptr_t)places[i].address & ~(uintptr_t)(page - 1));
        assert_int_equal(*places[i].address, 0x90); /* nop */
        assert_int_equal(mprotect(start, (size_t)page, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
        *places[i].address = 0xcc; /* int3 */
    }
    script_reset(__builtin_frame_address(0));
    elision_set_concurrency(2);
    elision_params_.arbiter = false;
    return elision_enabled() ? 0 : -1;
}

static void
each_is_in_the_notes(void **unused)
{
    unsigned of[PROBES] = {0};

    (void)unused;
    for (int i = 0; i < found; i++) {
        of[places[i].probe]++;
    }
    for (int i = 0; i < PROBES; i++) {
        if (of[i] == 0) {
            fail_msg("no note of %s: is systemtap-sdt-dev installed?", probes[i].name);
        }
    }
}

/* ret: how the section ran; *now is what fired meanwhile */
static enum elision_path
section(unsigned conflicts, unsigned now[PROBES])
{
    script_reset(__builtin_frame_address(0));
    memset(fired, 0, sizeof(fired));
    for (unsigned i = 0; i < conflicts; i++) {
        script_status(ELISION_TX_CONFLICT | ELISION_TX_RETRY);
    }
    enum elision_path path = elision_enter(&lock, &site);
    elision_leave(&lock);
    memcpy(now, fired, sizeof(fired));
    return path;
}

static void
each_fires_when_it_should(void **unused)
{
    unsigned now[PROBES];

    (void)unused;
    assert_int_equal(section(0, now), ELISION_SPECULATIVE);
    assert_int_equal(now[ABORT] + now[FALLBACK] + now[GIVEUP] + now[REPROBE], 0);
    assert_int_equal(section(2, now), ELISION_SPECULATIVE);
    assert_int_equal(now[ABORT], 2);
    assert_int_equal(now[FALLBACK] + now[GIVEUP] + now[REPROBE], 0);
    /* Nothing but conflicts: sections end on the lock, the policy gives up, and tries again. */
    unsigned gave_up = 0, tried_again = 0;
    for (int i = 0; i < 300 && tried_again == 0; i++) {
        struct elision_stats before, after;
        elision_stats(&before);
        assert_int_equal(section(60, now), ELISION_LOCKED);
        elision_stats(&after);
        assert_int_equal(now[ABORT], after.aborts[ELISION_ABORT_CONFLICT] -
                                         before.aborts[ELISION_ABORT_CONFLICT]);
        assert_int_equal(now[FALLBACK], after.fallbacks - before.fallbacks);
        assert_int_equal(now[GIVEUP], after.giveups - before.giveups);
        assert_int_equal(now[REPROBE], after.reprobes - before.reprobes);
        gave_up += now[GIVEUP];
        tried_again += now[REPROBE];
    }
    assert_true(gave_up > 0 && tried_again > 0);
    assert_int_equal(fired_inside, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_in_the_notes),
        cmocka_unit_test(each_fires_when_it_should),
    };

    return RUN_TAP(tests, set_up, NULL);
}
