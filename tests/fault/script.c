/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tests/fault/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "elision/core_priv.h"
#include "elision/elision.h"
#include "elision/tx.h"
#include "probes/step.h"

#define STATUSES 64
#define STACK_MAX (256 * 1024)
#define RECORD_SITES 16 /* sites a test uses */
#define RECORD_BYTES \
    (sizeof(struct elision_thread) + RECORD_SITES * sizeof(struct elision_site_state))

/* Registers at begin, in the order the assembly below stores them. */
struct registers {
    uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip;
};

/* Lives outside .data and .bss, which are rolled back. */
struct script {
    struct registers at_begin;
    bool active;
    uint32_t status; /* of the abort under way */
    char *base;      /* of the stack */
    uint32_t queue[STATUSES];
    unsigned queued, taken;
    unsigned abort_at, always_at, steps_here;
    uint32_t abort_status, always_status;
    unsigned inside, outside, begins, aborts, stray;
    void (*hook)(const char *, unsigned);
    bool in_hook;
    char *data;
    struct elision_thread *self;
    char stack[STACK_MAX];
    char record[RECORD_BYTES];
    char other_stack[65536] __attribute__((aligned(16)));
};

extern char __data_start[], _end[];

static struct script *script;

static size_t
data_size(void)
{
    return (size_t)(_end - __data_start);
}

static void *
get_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        perror("script: mmap");
        exit(1);
    }
    return memory;
}

/* The library tries transactions when it is loaded, before any test. */
static struct script *
get_script(void)
{
    if (script == NULL) {
        script = get_memory(sizeof(*script));
        script->data = get_memory(data_size());
    }
    return script;
}

void
script_reset(void *base)
{
    struct script *s = get_script();
    char *data = s->data;

    memset(s, 0, offsetof(struct script, stack));
    s->data = data;
    s->base = base;
}

int
script_start(void *base)
{
    script_reset(base);
    elision_set_concurrency(2);
    elision_params_.arbiter = false;
    if (!elision_enabled()) {
        printf("# %s\n", elision_verdict()->reason);
        return -1;
    }
    return 0;
}

int
script_start_at(void *base, elision_lock_t *lock, elision_site_t *const *sites)
{
    int result = script_start(base);

    for (; result == 0 && *sites != NULL; sites++) {
        (void)elision_enter(lock, *sites);
        elision_leave(lock);
    }
    return result;
}

void
script_status(uint32_t status)
{
    get_script()->queue[script->queued++ % STATUSES] = status;
}

void
script_abort_at(unsigned n, uint32_t status)
{
    get_script()->abort_at = n;
    script->abort_status = status;
}

void
script_abort_always_at(unsigned n, uint32_t status)
{
    get_script()->always_at = n;
    script->always_status = status;
}

void
script_hook(void (*hook)(const char *, unsigned))
{
    get_script()->hook = hook;
}

unsigned
script_steps_inside(void)
{
    return script->inside;
}

unsigned
script_steps_outside(void)
{
    return script->outside;
}

unsigned
script_begins(void)
{
    return script->begins;
}

unsigned
script_aborts(void)
{
    return script->aborts;
}

unsigned
script_stray_commits(void)
{
    return script->stray;
}

/* --- Begin and abort ---------------------------------------------------------------------------*/

uint32_t script_begin(struct registers *registers);
void script_restore(void);
struct registers *script_registers(void);
char *script_other_stack(void);

/* Called by elision_tx_begin_ with the registers of its caller. */
uint32_t
script_begin(struct registers *registers)
{
    struct script *s = get_script();

    s->begins++;
    if (s->taken < s->queued) {
        uint32_t status = s->queue[s->taken++ % STATUSES];
        if (status != ELISION_TX_STARTED) {
            s->aborts++;
            return status;
        }
    }
    if (s->active) {
        fprintf(stderr, "script: nested begin\n");
        abort();
    }
    if (s->base != NULL) {
        size_t depth = (size_t)(s->base - (char *)registers->rsp);
        if (depth > STACK_MAX) {
            fprintf(stderr, "script: a stack of %zu bytes\n", depth);
            abort();
        }
        s->at_begin = *registers;
        memcpy(s->stack, (void *)registers->rsp, depth);
        memcpy(s->data, __data_start, data_size());
        s->self = elision_self_;
        if (s->self != &elision_nobody_) {
            memcpy(s->record, s->self, RECORD_BYTES);
        }
    }
    s->active = true;
    s->steps_here = 0;
    return ELISION_TX_STARTED;
}

/* Called on the other stack: everything as at begin. */
void
script_restore(void)
{
    struct script *s = script;

    memcpy(__data_start, s->data, data_size());
    memcpy((void *)s->at_begin.rsp, s->stack, (size_t)(s->base - (char *)s->at_begin.rsp));
    if (s->self != &elision_nobody_) {
        memcpy(s->self, s->record, RECORD_BYTES);
    }
    elision_self_ = s->self;
    s->active = false;
    s->aborts++;
}

struct registers *
script_registers(void)
{
    return &script->at_begin;
}

char *
script_other_stack(void)
{
    return script->other_stack + sizeof(script->other_stack) - 64;
}

uint32_t script_abort_status(void);
uint32_t
script_abort_status(void)
{
    return script->status;
}

__asm__(".text\n"
        ".globl elision_tx_begin_\n"
        ".type elision_tx_begin_, @function\n"
        "elision_tx_begin_:\n"
        "    mov (%rsp), %rax\n"
        "    lea 8(%rsp), %rcx\n"
        "    sub $72, %rsp\n"
        "    mov %rbx, (%rsp)\n"
        "    mov %rbp, 8(%rsp)\n"
        "    mov %r12, 16(%rsp)\n"
        "    mov %r13, 24(%rsp)\n"
        "    mov %r14, 32(%rsp)\n"
        "    mov %r15, 40(%rsp)\n"
        "    mov %rcx, 48(%rsp)\n"
        "    mov %rax, 56(%rsp)\n"
        "    mov %rsp, %rdi\n"
        "    call script_begin\n"
        "    add $72, %rsp\n"
        "    ret\n"
        ".size elision_tx_begin_, .-elision_tx_begin_\n"
        ".globl script_roll_back\n"
        ".type script_roll_back, @function\n"
        "script_roll_back:\n"
        "    call script_other_stack\n"
        "    mov %rax, %rsp\n"
        "    call script_restore\n"
        "    call script_abort_status\n"
        "    mov %eax, %ebx\n"
        "    call script_registers\n"
        "    mov %rax, %rcx\n"
        "    mov %ebx, %eax\n"
        "    mov (%rcx), %rbx\n"
        "    mov 8(%rcx), %rbp\n"
        "    mov 16(%rcx), %r12\n"
        "    mov 24(%rcx), %r13\n"
        "    mov 32(%rcx), %r14\n"
        "    mov 40(%rcx), %r15\n"
        "    mov 48(%rcx), %rsp\n"
        "    jmp *56(%rcx)\n"
        ".size script_roll_back, .-script_roll_back\n");

void script_roll_back(void) __attribute__((noreturn));

void
elision_tx_script_abort_(uint32_t status)
{
    struct script *s = get_script();

    if (!s->active) {
        return;
    }
    if (s->base == NULL) {
        fprintf(stderr, "script: abort without script_reset\n");
        abort();
    }
    s->status = status;
    script_roll_back();
}

void
elision_tx_commit_(void)
{
    struct script *s = get_script();

    if (!s->active) {
        s->stray++;
    }
    s->active = false;
}

int
elision_tx_active_(void)
{
    return get_script()->active;
}

void
elision_step_(const char *name)
{
    struct script *s = get_script();

    if (s->active) {
        s->inside++;
        s->steps_here++;
        if (s->abort_at != 0 && s->inside == s->abort_at) {
            s->abort_at = 0;
            elision_tx_script_abort_(s->abort_status);
        }
        if (s->always_at != 0 && s->steps_here == s->always_at) {
            elision_tx_script_abort_(s->always_status);
        }
    }
    else if (!s->in_hook) {
        s->outside++;
        if (s->hook != NULL) {
            s->in_hook = true;
            s->hook(name, s->outside);
            s->in_hook = false;
        }
    }
}
