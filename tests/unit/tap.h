/* SPDX-License-Identifier: MIT
 *
 * cmocka with TAP output: include this instead of cmocka.h and use RUN_TAP in main.
 */
#ifndef TESTS_UNIT_TAP_H
#define TESTS_UNIT_TAP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* ret: main's exit status */
#define RUN_TAP(tests, setup, teardown)        \
    (cmocka_set_message_output(CM_OUTPUT_TAP), \
     cmocka_run_group_tests((tests), (setup), (teardown)) == 0 ? 0 : 1)

#endif
