/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * options: --page-faults=yes
 *
 * A page's first touch inside a transaction is a page fault, which aborts with status 0, and does
 * not bring the page in: SDM volume 1, 16.3.8.2.
 */

#include "rtmgrind/tests/litmus.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 8 };

static volatile char *page;

static unsigned
read_in_tx(volatile char *p)
{
    const unsigned status = tx_begin();

    if (status == STARTED) {
        (void)*p;
        tx_end();
    }
    return status;
}

static unsigned
write_in_tx(volatile char *p)
{
    const unsigned status = tx_begin();

    if (status == STARTED) {
        *p = 1;
        tx_end();
    }
    return status;
}

static void
first_write_aborts_until_touched(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < 5; i++) {
        assert_int_equal(write_in_tx(page), 0);
    }
    page[0] = 7;
    assert_int_equal(write_in_tx(page), STARTED);
    assert_int_equal(page[0], 1);
    assert_int_equal(write_in_tx(page + PAGE - 1), STARTED); /* another line of it */
}

static void
first_read_aborts_until_touched(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < 5; i++) {
        assert_int_equal(read_in_tx(page + PAGE), 0);
    }
    (void)page[PAGE];
    assert_int_equal(read_in_tx(page + PAGE), STARTED);
}

/* Reading alone brought in the page of zeros, which the first write has to copy. */
static void
first_write_after_a_read_aborts(void **state)
{
    (void)state;
    (void)page[2 * PAGE];
    assert_int_equal(read_in_tx(page + 2 * PAGE), STARTED);
    assert_int_equal(write_in_tx(page + 2 * PAGE), 0);
    page[2 * PAGE] = 1;
    assert_int_equal(write_in_tx(page + 2 * PAGE), STARTED);
}

static void
given_back_page_faults_again(void **state)
{
    (void)state;
    page[3 * PAGE] = 1;
    assert_int_equal(write_in_tx(page + 3 * PAGE), STARTED);
    assert_int_equal(madvise((void *)(page + 3 * PAGE), PAGE, MADV_DONTNEED), 0);
    assert_int_equal(write_in_tx(page + 3 * PAGE), 0);
    assert_int_equal(page[3 * PAGE], 0);
}

static void
first_write_after_a_fork_aborts(void **state)
{
    pid_t child;
    int status;

    (void)state;
    page[4 * PAGE] = 5;
    assert_int_equal(write_in_tx(page + 4 * PAGE), STARTED);
    child = fork();
    if (child == 0) {
        const unsigned first = write_in_tx(page + 4 * PAGE);
        page[4 * PAGE] = 6;
        page[5 * PAGE] = 1; /* the child's alone */
        _exit(first == 0 && write_in_tx(page + 4 * PAGE) == STARTED &&
                      write_in_tx(page + 5 * PAGE) == STARTED
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(page[4 * PAGE], 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_write_aborts_until_touched),
        cmocka_unit_test(first_read_aborts_until_touched),
        cmocka_unit_test(first_write_after_a_read_aborts),
        cmocka_unit_test(given_back_page_faults_again),
        cmocka_unit_test(first_write_after_a_fork_aborts),
    };

    page = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return 1;
    }
    return LITMUS_MAIN(tests);
}
