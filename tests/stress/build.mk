# SPDX-License-Identifier: MIT
#
# Locks under torture, the known-bad ones among them. The torture is built twice: with the library
# as it is shipped, and with steps that yield.

STRESS_SRCS = tests/stress/stress.c tests/locks/kinds.c
STEPS_SRCS = $(STRESS_SRCS) tests/stress/yield.c $(ELISION_SRCS)
STRESS_OBJS = $(STRESS_SRCS:%.c=$(OUT)/obj/%.o)
STEPS_OBJS = $(STEPS_SRCS:%.c=$(OUT)/obj/steps/%.o)
STEPS_FLAGS = -pthread -DELISION_STEPS -ftls-model=initial-exec

$(STRESS_OBJS): CFLAGS += -pthread

$(OUT)/obj/steps/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC   $< (steps)")
	$(Q)$(CC) $(CSTD) $(WARN) $(OPT) -fPIC $(CPPFLAGS) $(CFLAGS) $(STEPS_FLAGS) -MMD -MP -c -o $@ $<

$(OUT)/tests/stress: $(STRESS_OBJS) $(OUT)/lib/libelision.a
$(OUT)/tests/stress-steps: $(STEPS_OBJS)
$(OUT)/tests/nested: $(OUT)/obj/tests/stress/nested.o $(OUT)/lib/libelision.a
$(OUT)/tests/stress $(OUT)/tests/stress-steps $(OUT)/tests/nested:
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(CFLAGS) -pthread -Wl,-z,now $(LDFLAGS) -o $@ $^

# The list says what the scripts run; the binaries are built with it.
tests/stress/locks.sh tests/stress/stress.sh: $(OUT)/tests/stress $(OUT)/tests/stress-steps \
    $(OUT)/tests/nested
TESTS += tests/stress/locks.sh
STRESS += tests/stress/stress.sh
