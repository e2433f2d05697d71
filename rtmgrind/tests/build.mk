# SPDX-License-Identifier: GPL-2.0-or-later
#
# Litmus tests of the emulator: cmocka programs that run under it, and scripts that run it with
# options.

PACKAGES_TEST += libcmocka-dev jq

RTM_TESTS = rtmgrind/tests
RTM_TEST_OUT = $(OUT)/tests/rtmgrind
RTM_LITMUS = status rollback fault unfriendly syscall signal isolation ldtrk requests wait
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
$(RTM_MUTANTS): $(RTM_TESTS)/mutants.sh $(RTM_TESTS)/mutants.txt $(OUT)/bin/rtmgrind $(RTM_TEST_BINS) \
  $(RTM_LITMUS:%=$(RTM_TEST_OUT)/%.t)
	$(Q)printf '#!/bin/sh\nexport OUT="%s" COMPILE="%s" LINK="%s" LIBS="%s"\nexec %s "$$@"\n' \
	  '$(OUT)' '$(RTM_COMPILE)' '$(RTM_LINK)' '$(RTM_LIBS)' $(RTM_TESTS)/mutants.sh >$@ && chmod +x $@

TESTS += $(RTM_MUTANTS)
