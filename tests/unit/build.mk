# SPDX-License-Identifier: MIT
#
# Unit tests: cmocka programs, one for each part of the library.

PACKAGES_TEST += libcmocka-dev

UNIT_TESTS = api cpu knobs lifecycle lock policy
UNIT_BINS = $(UNIT_TESTS:%=$(OUT)/tests/unit-%)

$(UNIT_BINS): $(OUT)/tests/unit-%: $(OUT)/obj/tests/unit/%.o $(OUT)/lib/libelision.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(CFLAGS) -pthread $(LDFLAGS) -o $@ $^ -lcmocka

TESTS += $(UNIT_BINS)
