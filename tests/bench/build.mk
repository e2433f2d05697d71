# SPDX-License-Identifier: MIT
PACKAGES_TEST += hwloc-nox python3
BENCH_TESTS = $(addprefix tests/bench/,plans.sh quick.sh shim.sh peers.sh)
TESTS += $(BENCH_TESTS)
TESTS_LATE += tests/bench/interp.sh
$(BENCH_TESTS): $(OUT)/bin/elision-bench $(OUT)/bin/rtmgrind
tests/bench/shim.sh: $(OUT)/tests/bench/shim

$(OUT)/tests/bench/shim: $(OUT)/obj/tests/bench/shim.o $(filter-out %/main.o,$(BENCH_OBJECTS)) \
    $(OUT)/lib/libelision-refcount.a $(OUT)/lib/libelision.a
	@mkdir -p $(@D)
	$(Q)$(CXX) $(LDFLAGS) -o $@ $^ $(BENCH_LIBS)
