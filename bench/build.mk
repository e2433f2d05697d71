# SPDX-License-Identifier: MIT
# elision-bench: C benchmarks over Google Benchmark, placed by hwloc.

PACKAGES_TEST += libbenchmark-dev libhwloc-dev jq gnuplot-nox libck-dev libitm1 libtbb-dev

BENCH_OBJECTS = $(addprefix $(OUT)/obj/bench/,main.o suites.o pairing.o cost.o capacity.o \
  refcount.o locks.o peers.o peer_libitm.o work.o place.o shim.o peer_cxx.o)

$(OUT)/obj/bench/shim.o $(OUT)/obj/bench/peer_cxx.o: $(OUT)/obj/bench/%.o: bench/%.cc
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CXX  $<")
	$(Q)$(CXX) -std=c++17 -Wall -Wextra $(OPT) -I. $(CXXFLAGS) -MMD -MP -c -o $@ $<

# Peers that may be missing: the compiler's transactional memory, and oneTBB, whose headers leave
# speculation out without -mrtm.
BENCH_TM = $(shell echo 'int a; void f(void) { __transaction_atomic { a++; } }' | \
  $(CC) -fgnu-tm -x c -c -o /dev/null - 2>/dev/null && echo yes)
BENCH_TBB = $(shell $(CXX) -include oneapi/tbb/spin_mutex.h -E -x c++ -o /dev/null /dev/null \
  2>/dev/null && echo yes)
BENCH_LIBS = -lbenchmark -lhwloc -lpthread $(if $(BENCH_TBB),-ltbb) $(if $(BENCH_TM),-litm)
$(OUT)/obj/bench/peer_cxx.o: CXXFLAGS += -mrtm
$(OUT)/obj/bench/peer_libitm.o: CFLAGS += $(if $(BENCH_TM),-fgnu-tm -DBENCH_LIBITM)

$(OUT)/bin/elision-bench: $(BENCH_OBJECTS) $(OUT)/lib/libelision-refcount.a $(OUT)/lib/libelision.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CXX) $(LDFLAGS) -Wl,-z,now -o $@ $^ $(BENCH_LIBS)

# Without RTM, what needs transactions runs under the emulator; results in $(BENCH_DIR). What SUITES
# leaves to choose is in run.sh. Only the suite interp needs the interpreter.
BENCH_DIR = $(OUT)/bench
BENCH_RUN = SUITES='$(SUITES)' SEEDS='$(SEEDS)' JOBS='$(JOBS)' PRESETS='$(PRESETS)' \
  ROUNDS='$(ROUNDS)' bench/run.sh
BENCH_PROGRAMS = $(OUT)/bin/elision-bench $(OUT)/bin/rtmgrind $(OUT)/python/bin/python3

bench: all $(OUT)/bin/elision-bench \
    $(if $(SUITES),$(if $(filter interp,$(SUITES)),python),python)
	$(Q)$(BENCH_RUN) full $(BENCH_PROGRAMS) $(BENCH_DIR)

bench-quick: all $(OUT)/bin/elision-bench
	$(Q)$(BENCH_RUN) quick $(BENCH_PROGRAMS) $(BENCH_DIR)

#: make bench-results  keep the last report in bench/results, to be committed
.PHONY: bench-results
bench-results:
	@test -e $(BENCH_DIR)/report.md || { echo "bench: no report yet: run make bench" >&2; exit 1; }
	$(Q)mkdir -p bench/results && rm -f bench/results/*.svg bench/results/*.md
	$(Q)cp $(BENCH_DIR)/report.md $(BENCH_DIR)/*.svg bench/results/
