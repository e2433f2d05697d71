# SPDX-License-Identifier: GPL-2.0-or-later
#
# Litmus tests of the emulator: cmocka programs that run under it, and scripts that run it with
# options.

PACKAGES_TEST += libcmocka-dev jq libck-dev libitm1 libtbb-dev

RTM_TESTS = rtmgrind/tests
RTM_TEST_OUT = $(OUT)/tests/rtmgrind
RTM_LITMUS = status rollback fault unfriendly syscall signal isolation kernel ldtrk requests wait \
  sigreturn threads ride page poll timer sigwait pointer limit timerfd \
  descriptor arrive
RTM_PROGRAMS = $(RTM_LITMUS) probe schedule
RTM_TEST_BINS = $(RTM_PROGRAMS:%=$(RTM_TEST_OUT)/%)

$(RTM_TEST_BINS): $(RTM_TEST_OUT)/%: $(OUT)/obj/rtmgrind/tests/%.o
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -pthread $(LDFLAGS) -o $@ $< -lcmocka

# A program under the emulator, with the options its first lines ask for ("options: ...").
$(RTM_LITMUS:%=$(RTM_TEST_OUT)/%.t): $(RTM_TEST_OUT)/%.t: $(RTM_TEST_OUT)/% $(OUT)/bin/rtmgrind \
  $(RTM_TESTS)/build.mk
	$(Q)printf '#!/bin/sh\nexec "$${RTMGRIND:-%s}" --quiet %s %s\n' $(OUT)/bin/rtmgrind \
	  "$$(sed -n '1,12s/^ \* options: //p' $(RTM_TESTS)/$*.c)" $< >$@ && chmod +x $@

RTM_SCRIPTS = $(addprefix $(RTM_TESTS)/,model.sh time.sh report.sh usage.sh)
$(RTM_SCRIPTS): $(RTM_TEST_BINS) $(OUT)/bin/rtmgrind

TESTS += $(RTM_LITMUS:%=$(RTM_TEST_OUT)/%.t) $(RTM_SCRIPTS)

# Known-wrong emulators, each made by a change of a line, each to be caught by the test it names.
RTM_MUTANTS = $(RTM_TEST_OUT)/mutants.t
$(RTM_MUTANTS): $(RTM_TESTS)/mutants.sh $(RTM_TESTS)/mutants.txt $(OUT)/bin/rtmgrind \
  $(RTM_TEST_BINS) $(RTM_LITMUS:%=$(RTM_TEST_OUT)/%.t)
	$(Q)printf '#!/bin/sh\nexport OUT="%s" COMPILE="%s" LINK="%s" LIBS="%s"\nexec %s "$$@"\n' \
	  '$(OUT)' '$(RTM_COMPILE)' '$(RTM_LINK)' '$(RTM_LIBS)' $(RTM_TESTS)/mutants.sh >$@
	$(Q)chmod +x $@

TESTS += $(RTM_MUTANTS)
TESTS_LONG += $(RTM_MUTANTS)

# Real peers, each a program of its own; where a peer's header is missing there is no program, and
# peers.sh skips it by name.
RTM_PEERS = glibc libitm ck tbb
RTM_PEER_glibc = $(CC) -std=gnu11
RTM_PEER_libitm = $(CC) -std=gnu11 -fgnu-tm
RTM_PEER_ck = $(CC) -std=gnu11
RTM_PEER_tbb = $(CXX)
RTM_PEER_NEEDS_ck = ck_elide.h
RTM_PEER_NEEDS_tbb = oneapi/tbb/spin_mutex.h
RTM_PEER_LIBS_tbb = -ltbb

define RTM_BUILD_PEER
@mkdir -p $(@D) && rm -f $(RTM_TEST_OUT)/peer_$*
$(Q)if [ -n '$(RTM_PEER_NEEDS_$*)' ] && ! echo '#include <$(RTM_PEER_NEEDS_$*)>' | \
  $(CXX) -E -x c++ - >/dev/null 2>&1; then :; else \
  $(RTM_PEER_$*) -O2 -g -I. -mrtm -pthread -o $(RTM_TEST_OUT)/peer_$* $< $(RTM_PEER_LIBS_$*); fi
@touch $@
endef
RTM_PEER_BUILT = $(RTM_PEERS:%=$(RTM_TEST_OUT)/peer_%.built)
$(filter-out %_tbb.built,$(RTM_PEER_BUILT)): $(RTM_TEST_OUT)/peer_%.built: $(RTM_TESTS)/peer_%.c \
  $(RTM_TESTS)/peer.h
	$(RTM_BUILD_PEER)
$(filter %_tbb.built,$(RTM_PEER_BUILT)): $(RTM_TEST_OUT)/peer_%.built: $(RTM_TESTS)/peer_%.cc \
  $(RTM_TESTS)/peer.h
	$(RTM_BUILD_PEER)

$(RTM_TESTS)/peers.sh: $(RTM_PEER_BUILT) $(OUT)/bin/rtmgrind
TESTS += $(RTM_TESTS)/peers.sh

# How fast, beside Valgrind's own tools: ratios of CPU time, medians of interleaved runs.
#: make bench-rtmgrind  the emulator's speed beside valgrind --tool=none and helgrind
.PHONY: bench-rtmgrind
bench-rtmgrind: $(OUT)/bin/rtmgrind $(RTM_TEST_OUT)/schedule $(RTM_PEER_BUILT)
	$(Q)$(RTM_TESTS)/speed.sh

#: make check-valgrind VALGRIND=ROOT  the emulator and its tests with the Valgrind unpacked there
.PHONY: check-valgrind
check-valgrind: $(RTM_TEST_BINS) $(RTM_LITMUS:%=$(RTM_TEST_OUT)/%.t) $(RTM_PEER_BUILT)
	$(Q)COMPILE='$(RTM_COMPILE)' LINK='$(RTM_LINK)' $(RTM_TESTS)/other_valgrind.sh $(VALGRIND)
