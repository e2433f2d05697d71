/* SPDX-License-Identifier: MIT */
#ifndef TESTS_STRESS_YIELD_H
#define TESTS_STRESS_YIELD_H

#include <stdint.h>

/* At which of its steps the calling thread yields from here on; threads that do not say all go by
 * the same seed. */
void yield_seed(uint32_t seed);

/* ret: how often the calling thread has yielded outside transactions */
uint64_t yield_count(void);

#endif
