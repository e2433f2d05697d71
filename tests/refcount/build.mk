# SPDX-License-Identifier: MIT
#
# Tests of refcount/; each prints TAP. heap.c is built as the library is shipped, and with each
# sanitizer around all of the library.

PACKAGES_TEST += jq libcmocka-dev spin

REFCOUNT_TESTS = $(OUT)/tests/refcount
REFCOUNT_UNIT = $(addprefix $(REFCOUNT_TESTS)/,coalesce oracle life kinds)
REFCOUNT_ALL_SRCS = $(REFCOUNT_SRCS) $(ELISION_SRCS)
TESTS += $(REFCOUNT_UNIT) tests/refcount/heap.sh tests/refcount/mutants.sh tests/refcount/model.sh
TESTS += tests/refcount/counted.sh
TESTS_LONG += tests/refcount/mutants.sh tests/refcount/model.sh
STRESS += tests/refcount/stress.sh

$(REFCOUNT_UNIT): $(REFCOUNT_TESTS)/%: $(OUT)/obj/tests/refcount/%.o $(REFCOUNT_LIB)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(CFLAGS) -pthread $(LDFLAGS) -o $@ $^ -lcmocka

$(REFCOUNT_TESTS)/heap $(REFCOUNT_TESTS)/pairs: $(REFCOUNT_TESTS)/%: \
    $(OUT)/obj/tests/refcount/%.o $(REFCOUNT_LIB) $(OUT)/lib/libelision.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(CFLAGS) -pthread -Wl,-z,now $(LDFLAGS) -o $@ $^

$(REFCOUNT_TESTS)/heap-thread $(REFCOUNT_TESTS)/heap-address: $(REFCOUNT_TESTS)/heap-%: \
    tests/refcount/heap.c $(REFCOUNT_ALL_SRCS) $(wildcard refcount/*.h elision/*.h fallback/*.h)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(CSTD) -O1 -g -fsanitize=$* -fno-sanitize-recover=all -ftls-model=initial-exec \
	    -pthread $(CPPFLAGS) -o $@ tests/refcount/heap.c $(REFCOUNT_ALL_SRCS)

tests/refcount/heap.sh: $(addprefix $(REFCOUNT_TESTS)/,heap heap-thread heap-address) \
    $(OUT)/bin/rtmgrind
tests/refcount/stress.sh: $(REFCOUNT_TESTS)/heap $(OUT)/bin/rtmgrind
tests/refcount/mutants.sh: $(REFCOUNT_TESTS)/heap
tests/refcount/counted.sh: $(REFCOUNT_TESTS)/pairs $(OUT)/bin/rtmgrind
