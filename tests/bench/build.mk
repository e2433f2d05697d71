# SPDX-License-Identifier: MIT
PACKAGES_TEST += hwloc-nox libbenchmark-tools python3
BENCH_TESTS = $(addprefix tests/bench/,plans.sh quick.sh shim.sh peers.sh hwcheck.sh)
TESTS += $(BENCH_TESTS)
TESTS_LONG += tests/bench/quick.sh tests/bench/hwcheck.sh
TESTS_LATE += tests/bench/interp.sh
$(BENCH_TESTS): $(OUT)/bin/elision-bench $(OUT)/bin/rtmgrind
tests/bench/shim.sh: $(OUT)/tests/bench/shim
tests/bench/interp.sh: $(OUT)/bin/rtmgrind

$(OUT)/tests/bench/shim: $(OUT)/obj/tests/bench/shim.o $(filter-out %/main.o,$(BENCH_OBJECTS)) \
    $(OUT)/lib/libelision-refcount.a $(OUT)/lib/libelision.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(BENCH_LIBS)

# Here, since what the emulator's tests are is known only behind their fragment.
HWCHECK_NEEDS = $(OUT)/bin/elision $(OUT)/bin/elision-bench $(OUT)/bin/rtmgrind $(RTM_TEST_BINS) \
  $(RTM_LITMUS:%=$(RTM_TEST_OUT)/%.t)
tests/bench/hwcheck.sh: $(HWCHECK_NEEDS)

#: make hwcheck   on a machine with RTM: costs, capacity, litmus tests; one file to send in
# Where there is no RTM it says so and make ends well; hwcheck.sh itself ends with 3 then.
.PHONY: hwcheck
hwcheck: $(HWCHECK_NEEDS)
	$(Q)bench/hwcheck.sh $(OUT) $(OUT)/hwcheck.json || [ $$? -eq 3 ]
