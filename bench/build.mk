# SPDX-License-Identifier: MIT
# elision-bench: C benchmarks over Google Benchmark, placed by hwloc.

PACKAGES_TEST += libbenchmark-dev libhwloc-dev jq

BENCH_OBJECTS = $(addprefix $(OUT)/obj/bench/,main.o suites.o locks.o work.o place.o shim.o)

$(OUT)/obj/bench/shim.o: bench/shim.cc
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CXX  $<")
	$(Q)$(CXX) -std=c++17 -Wall -Wextra $(OPT) -I. $(CXXFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/bin/elision-bench: $(BENCH_OBJECTS) $(OUT)/lib/libelision.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CXX) $(LDFLAGS) -Wl,-z,now -o $@ $^ -lbenchmark -lhwloc -lpthread

# Without RTM, what needs transactions runs under the emulator; results in out/bench.
bench: all $(OUT)/bin/elision-bench
	$(Q)bench/run.sh full $(OUT)/bin/elision-bench $(OUT)/bin/rtmgrind $(OUT)/bench

bench-quick: all $(OUT)/bin/elision-bench
	$(Q)bench/run.sh quick $(OUT)/bin/elision-bench $(OUT)/bin/rtmgrind $(OUT)/bench
