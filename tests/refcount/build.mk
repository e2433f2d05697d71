# SPDX-License-Identifier: MIT
#
# Tests of refcount/; each prints TAP.

REFCOUNT_UNIT = $(OUT)/tests/refcount/coalesce
TESTS += $(REFCOUNT_UNIT)

$(REFCOUNT_UNIT): $(OUT)/tests/refcount/%: $(OUT)/obj/tests/refcount/%.o $(REFCOUNT_LIB)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(CFLAGS) -pthread $(LDFLAGS) -o $@ $^ -lcmocka
