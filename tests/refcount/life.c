/* SPDX-License-Identifier: MIT
 *
 * A small object's life in every interleaving, with an abort at each step.
 *
 * Threads run scripts. A section is tried three ways at each place it can begin: as a transaction
 * (one step for the others; first aborted before its 1st, 2nd, ... last operation, which must leave
 * no trace), the same after conflicts (so that the table learns, and makes loans), and with the
 * lock held (operations outside sections come between its own). Evidence: scripted.
 *
 *   ( )  a section; } ends it as a detach does       p  look: take and give back what the cell has
 *   c    root = cell      s  cell = root             x  clear the cell     d  drop the root
 *   n    make an object that has the cell's as child, as root
 *   w    follow the weak reference to the root       k  know the root weakly
 *   g    give up, or ask for, ownership of the root  u  if the root is the only reference, mark it
 *   e    the thread exits
 * Operations on what is not there do nothing. Outside sections: p on the root, d, e.
 */
#include "tests/refcount/mortals.h"

enum { OBJECTS = 8 };

struct object {
    struct mortal mortal;
    struct object *child;
    bool known; /* world.weak refers to it */
};

struct worker {
    const char *next; /* what of its script is left */
    bool locked;      /* inside a section, holding the lock */
    bool exited;
    struct object *root;
};

/* Everything that a rollback restores, but for the threads' records. */
static struct world {
    struct object objects[OBJECTS];
    int used;
    int lock; /* thread that holds it, or -1 */
    struct object *cell;
    struct object *weak;
    struct worker workers[THREADS];
} world;

static unsigned long leaves, aborts;
static const char *scenario;

struct snapshot {
    struct world world;
    struct elision_ref_thread records[THREADS];
};

static void
save(struct snapshot *to)
{
    to->world = world;
    for (int t = 0; t < THREADS; t++) {
        to->records[t] = *records[t];
    }
}

static void
restore(const struct snapshot *from)
{
    world = from->world;
    for (int t = 0; t < THREADS; t++) {
        *records[t] = from->records[t];
    }
}

/* --- Operations --------------------------------------------------------------------------------*/

static void
destroy(elision_ref_t *ref, void *arg)
{
    struct object *o = (struct object *)ref;

    (void)arg;
    die(&o->mortal);
    if (o->known) {
        world.weak = NULL;
    }
    if (o->child != NULL) {
        elision_ref_put(self(), &o->child->mortal.ref);
    }
}

static struct object *
get_any(struct object *o)
{
    if (o != NULL) {
        get(&o->mortal);
    }
    return o;
}

static void
put_any(struct object *o)
{
    if (o != NULL) {
        put(&o->mortal);
    }
}

static void
replace(struct object **place, struct object *o)
{
    struct object *old = *place;

    *place = o;
    put_any(old);
}

static struct object *
make(struct object *child)
{
    struct object *o = &world.objects[world.used++];

    assert_true(world.used <= OBJECTS);
    *o = (struct object){.known = false};
    come_alive(&o->mortal);
    o->child = get_any(child);
    return o;
}

/* References that there are to an object, all told. */
static int64_t
trace(const struct object *o)
{
    int64_t found = world.cell == o;

    for (int t = 0; t < THREADS; t++) {
        found += world.workers[t].root == o;
    }
    for (int i = 0; i < world.used; i++) {
        found += world.objects[i].mortal.state == ALIVE && world.objects[i].child == o;
    }
    return found;
}

static void
operate_on_root(char operation, struct object **root)
{
    switch (operation) {
    case 'k':
        if (world.weak == NULL) {
            elision_ref_set_weak(&(*root)->mortal.ref);
            (*root)->known = true;
            world.weak = *root;
        }
        break;
    case 'g': elision_ref_share(self(), &(*root)->mortal.ref); break;
    case 'u':
        if (elision_ref_is_unique(self(), &(*root)->mortal.ref)) {
            assert_int_equal(trace(*root), 1);
        }
        break;
    case 's': replace(&world.cell, get_any(*root)); break;
    case 'd': replace(root, NULL); break;
    default: fail_msg("unknown operation %c", operation);
    }
}

static void
operate(char operation)
{
    struct object **root = &world.workers[now].root;

    switch (operation) {
    case 'p': put_any(get_any(world.cell)); break;
    case 'c': replace(root, get_any(world.cell)); break;
    case 'x': replace(&world.cell, NULL); break;
    case 'n': replace(root, make(world.cell)); break;
    case 'w':
        if (world.weak != NULL && elision_ref_try_get(self(), &world.weak->mortal.ref)) {
            assert_int_equal(world.weak->mortal.state, ALIVE);
            replace(root, world.weak);
        }
        break;
    default:
        if (*root != NULL) {
            operate_on_root(operation, root);
        }
        break;
    }
}

/* --- Exploring ---------------------------------------------------------------------------------*/

static bool
ends_section(char operation)
{
    return operation == ')' || operation == '}';
}

static void
end_section(char operation)
{
    enum elision_settle what = operation == '}' ? ELISION_SETTLE_DETACH : ELISION_SETTLE_SECTION;

    elision_ref_end(self(), what);
    assert_true(what == ELISION_SETTLE_SECTION ||
                elision_coalesce_is_empty(elision_ref_table(self())));
}

/* Run a section's operations as a transaction, or only the first `steps` of them. ret: completed */
static bool
run_section(unsigned conflicts, int steps)
{
    const char **next = &world.workers[now].next;

    ++*next;
    elision_ref_begin(self(), ELISION_SPECULATIVE, conflicts);
    while (steps-- > 0) {
        char operation = *(*next)++;
        if (ends_section(operation)) {
            end_section(operation);
            return true;
        }
        operate(operation);
    }
    return false;
}

static void
finish(void)
{
    for (now = 0; now < THREADS; now++) {
        if (!world.workers[now].exited) {
            elision_ref_begin(self(), ELISION_LOCKED, 0);
            elision_ref_end(self(), ELISION_SETTLE_DETACH);
        }
    }
    for (now = 0; now < THREADS; now++) {
        if (!world.workers[now].exited) {
            elision_ref_thread_exit(self());
        }
    }
    now = 0;
    for (int i = 0; i < world.used; i++) {
        const struct object *o = &world.objects[i];
        assert_int_equal(o->mortal.state == ALIVE, trace(o) != 0);
        if (o->mortal.state == ALIVE) {
            assert_int_equal(elision_ref_count(self(), &o->mortal.ref), trace(o));
        }
    }
    replace(&world.cell, NULL);
    for (int t = 0; t < THREADS; t++) {
        replace(&world.workers[t].root, NULL);
    }
    for (int i = 0; i < world.used; i++) {
        assert_int_equal(world.objects[i].mortal.state, DEAD);
    }
    leaves++;
}

static void explore(void);

/* All that can follow when thread t begins its section now. */
static void
explore_section(int t, const struct snapshot *before)
{
    struct worker *w = &world.workers[t];

    for (unsigned conflicts = 0; conflicts < 2; conflicts++) {
        bool complete = false;
        for (int steps = 0; !complete; steps++) {
            restore(before);
            now = t;
            complete = run_section(conflicts, steps);
            aborts += !complete;
        }
        explore();
    }
    restore(before);
    now = t;
    world.lock = t;
    w->locked = true;
    w->next++;
    elision_ref_begin(self(), ELISION_LOCKED, 0);
    explore();
}

static void
one_step(int t)
{
    struct worker *w = &world.workers[t];
    char operation = *w->next++;

    now = t;
    if (ends_section(operation)) {
        end_section(operation);
        w->locked = false;
        world.lock = -1;
    }
    else if (operation == 'e') {
        elision_ref_thread_exit(self());
        w->exited = true;
    }
    else if (operation == 'p' && !w->locked) {
        put_any(get_any(w->root));
    }
    else {
        operate(operation);
    }
}

static void
explore(void)
{
    struct snapshot before;
    bool any = false;

    save(&before);
    for (int t = 0; t < THREADS; t++) {
        const struct worker *w = &before.world.workers[t];
        if (*w->next == 0 || (*w->next == '(' && before.world.lock >= 0)) {
            continue;
        }
        any = true;
        restore(&before);
        if (*w->next == '(') {
            explore_section(t, &before);
        }
        else {
            one_step(t);
            explore();
        }
    }
    restore(&before);
    if (!any) {
        finish();
    }
}

/* Thread 0 makes the object: its root, and in the cell. Then first is run by thread 1 alone, and
 * then the scripts by all. */
static void
life(const char *name, const char *first, const char *s0, const char *s1, const char *s2)
{
    const char *scripts[THREADS] = {s0, s1, s2};

    scenario = name;
    leaves = aborts = 0;
    memset(&world, 0, sizeof world);
    world.lock = -1;
    enter_threads(destroy);
    world.workers[0].root = make(NULL);
    world.cell = get_any(world.workers[0].root);
    now = 1;
    world.workers[1].next = first;
    while (*world.workers[1].next != 0) {
        assert_true(run_section(1, 1000));
    }
    for (int t = 0; t < THREADS; t++) {
        world.workers[t].next = scripts[t];
    }
    explore();
    print_message("# %s: %lu orders, %lu aborts\n", scenario, leaves, aborts);
    assert_true(leaves > 100 && aborts > 100);
    elision_ref_heap_fini(&heap);
}

#define LIFE(name, first, s0, s1, s2)     \
    static void test_##name(void **state) \
    {                                     \
        (void)state;                      \
        life(#name, first, s0, s1, s2);   \
    }

LIFE(readers_and_the_end, "", "(x)d", "(p)(p)", "(pp)")
LIFE(owner_keeps_using_it, "", "p(p)pd", "(c)p(d)", "(x)")
LIFE(handed_over, "", "d(p)", "(c)(sd)", "(c)(x)d")
LIFE(dropped_outside, "", "d(x)", "(c)pd", "(c)pd")
LIFE(owner_exits, "", "d(}e", "(c)pd(x)", "(c)(d)")
LIFE(owner_is_asked, "", "(p)p", "(cg)pd", "(x)(p)")
LIFE(owner_gives_up, "", "(g)pd", "(c)p(d)", "(xp)")
LIFE(a_loan_and_the_end, "(c)(d)(c)", "(x)d", "(d)(c)(d)", "(p)")
LIFE(two_loans, "(c)(d)(c)(d)", "d", "(c)(d)(p)", "(c)(d)(cx)")
LIFE(a_loan_is_detached, "(c)(d)(c)", "(x)d", "(d}", "(c)(d}")
LIFE(uniqueness, "", "(xu)", "(cu)(ud)", "(p)")
LIFE(uniqueness_with_loans, "(c)(d)(c)", "(x)d", "(u)(du)", "(cu)")
LIFE(weak_reference, "", "(k)(x)d", "(w)(d)", "(w)")
LIFE(weak_reference_and_loan, "(c)(d)(ck)", "(x)d", "(d)(w)", "(w)")
LIFE(children, "", "(ns)d", "(nd)(c)", "(x)")

int
main(void)
{
#define TEST(name) cmocka_unit_test(test_##name)
    static const struct CMUnitTest tests[] = {
        TEST(readers_and_the_end),
        TEST(owner_keeps_using_it),
        TEST(handed_over),
        TEST(dropped_outside),
        TEST(owner_exits),
        TEST(owner_is_asked),
        TEST(owner_gives_up),
        TEST(a_loan_and_the_end),
        TEST(two_loans),
        TEST(a_loan_is_detached),
        TEST(uniqueness),
        TEST(uniqueness_with_loans),
        TEST(weak_reference),
        TEST(weak_reference_and_loan),
        TEST(children),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
