/* SPDX-License-Identifier: MIT
 *
 * Steps: named points in enter, leave, checkpoint, park and wake at which a test may make something
 * happen (an abort, a spurious wake-up, a switch to another thread). In the library as shipped they
 * are nothing at all; the test builds define ELISION_STEPS and supply elision_step_.
 */
#ifndef ELISION_PROBES_STEP_H
#define ELISION_PROBES_STEP_H

/* Supplied by the test builds only. tx: safe, or forces abort, as the test likes */
void elision_step_(const char *name);

#ifdef ELISION_STEPS
#define ELISION_STEP(name) elision_step_(name)
#else
#define ELISION_STEP(name) ((void)0)
#endif

#endif
