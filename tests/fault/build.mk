# SPDX-License-Identifier: MIT
#
# The library once more, with the scripted backend and with steps at which tests may interfere.

PACKAGES_TEST += libcmocka-dev

SCRIPTED_OBJS = $(ELISION_SRCS:%.c=$(OUT)/obj/scripted/%.o) $(OUT)/obj/scripted/tests/fault/script.o
SCRIPTED_FLAGS = -pthread -DELISION_TX_SCRIPTED -DELISION_STEPS -ftls-model=initial-exec -fno-pie

$(OUT)/obj/scripted/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC   $< (scripted)")
	$(Q)$(CC) $(CSTD) $(WARN) $(OPT) $(CPPFLAGS) $(CFLAGS) $(SCRIPTED_FLAGS) -MMD -MP -c -o $@ $<

FAULT_TESTS = $(OUT)/tests/fault \
    $(addprefix $(OUT)/tests/fault-,child length probes section signals stats)

$(OUT)/tests/fault: $(OUT)/obj/scripted/tests/fault/fault.o $(SCRIPTED_OBJS)
$(OUT)/tests/fault-child: $(OUT)/obj/scripted/tests/fault/child.o $(SCRIPTED_OBJS)
$(OUT)/tests/fault-length: $(OUT)/obj/scripted/tests/fault/length.o $(SCRIPTED_OBJS)
$(OUT)/tests/fault-probes: $(OUT)/obj/scripted/tests/fault/probes.o $(SCRIPTED_OBJS)
$(OUT)/tests/fault-section: $(OUT)/obj/scripted/tests/fault/section.o $(SCRIPTED_OBJS)
$(OUT)/tests/fault-signals: $(OUT)/obj/scripted/tests/fault/signals.o $(SCRIPTED_OBJS)
$(OUT)/tests/fault-stats: $(OUT)/obj/scripted/tests/fault/stats.o $(SCRIPTED_OBJS)
$(FAULT_TESTS):
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(CFLAGS) -pthread -no-pie $(LDFLAGS) -o $@ $^ -lcmocka

TESTS += $(FAULT_TESTS)
