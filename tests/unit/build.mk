# SPDX-License-Identifier: MIT
#
# Unit tests: cmocka programs, one for each part of the library.

PACKAGES_TEST += libcmocka-dev clang musl-tools
# Another architecture, to build for and to run: matrix.sh.
PACKAGES_TEST += gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user

UNIT_TESTS = adaptive api arbiter arbiter_steps cpu knobs length lifecycle lock misuse policy \
  queue settings threads
UNIT_BINS = $(UNIT_TESTS:%=$(OUT)/tests/unit-%)

$(UNIT_BINS): $(OUT)/tests/unit-%: $(OUT)/obj/tests/unit/%.o $(OUT)/lib/libelision.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(CFLAGS) -pthread $(LDFLAGS) -o $@ $^ -lcmocka

# What queue.c counts.
QUEUE_WRAP = -Wl,--wrap=clock_gettime,--wrap=elision_park_fence_heavy_,--wrap=elision_park_wake_
$(OUT)/tests/unit-queue: LDFLAGS += $(QUEUE_WRAP)

# What settings.c pretends.
$(OUT)/tests/unit-settings: LDFLAGS += -Wl,--wrap=elision_cpu_judge_

TESTS += $(UNIT_BINS)

# Programs that scripts run under rtmgrind.
$(OUT)/tests/counted: $(OUT)/obj/tests/unit/counted.o $(OUT)/lib/libelision.a
$(OUT)/tests/abort-at: $(OUT)/obj/tests/unit/abort_at.o $(OUT)/lib/libelision.a
$(OUT)/tests/embedding: $(OUT)/obj/docs/embedding.o $(OUT)/lib/libelision.a
# Static, since it is run a thousand times: the emulator has half as much to do at each start.
$(OUT)/tests/abort-at: LDFLAGS += -static
$(OUT)/tests/counted $(OUT)/tests/abort-at $(OUT)/tests/embedding:
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(CFLAGS) -pthread -Wl,-z,now $(LDFLAGS) -o $@ $^

# Without oneTBB there is no program, and the script skips it by name.
PACKAGES_TEST += libtbb-dev
$(OUT)/tests/counted-tbb.built: tests/unit/counted_tbb.cc rtmgrind/rtmgrind.h
	@mkdir -p $(@D) && rm -f $(OUT)/tests/counted-tbb
	$(Q)if echo '#include <oneapi/tbb/spin_mutex.h>' | $(CXX) -E -x c++ - >/dev/null 2>&1; then \
	    $(CXX) -Wall -Wextra -O2 -g -mrtm -I. -pthread -o $(OUT)/tests/counted-tbb $< -ltbb; fi
	@touch $@

tests/unit/counted.sh: $(OUT)/tests/counted $(OUT)/tests/counted-tbb.built
tests/unit/embedding.sh: $(OUT)/tests/embedding
tests/unit/emulated.sh: $(UNIT_BINS)
tests/unit/abort_at.sh: $(OUT)/tests/abort-at
UNIT_LONG = $(addprefix tests/unit/,abort_at.sh matrix.sh)
TESTS += $(addprefix tests/unit/,counted.sh embedding.sh emulated.sh install.sh verdict.sh) \
  $(UNIT_LONG)
TESTS_LONG += $(UNIT_LONG)
