# SPDX-License-Identifier: MIT
#
# Tests of the patched interpreter, and the extensions some of them load.

INTERP_TESTS = tests/interp
INTERP_MODULES = $(addprefix $(OUT)/tests/interp/,unsafe_counter.so lending.so)

TESTS += $(INTERP_TESTS)/source.sh
TESTS_LATE += $(addprefix $(INTERP_TESTS)/,plain.sh config.sh unsafe.sh stock.sh lifecycle.sh \
    workloads.sh handover.sh alone.sh lookups.sh caches.sh sorting.sh guide.sh cpython.sh \
    counted.sh leaks.sh mutants.sh)
STRESS += $(addprefix $(INTERP_TESTS)/,leaks_long.sh leaks_debug.sh injected.sh \
    counted_long.sh)

$(INTERP_TESTS)/config.sh $(INTERP_TESTS)/unsafe.sh $(INTERP_TESTS)/lifecycle.sh \
    $(INTERP_TESTS)/mutants.sh: $(INTERP_MODULES)

$(INTERP_TESTS)/counted_long.sh: $(OUT)/python-stock/.installed
$(INTERP_TESTS)/leaks_debug.sh: $(OUT)/cpython/build-debug/.built

# An extension module: then where its headers are, -o and its source.
INTERP_CC = $(CC) $(CSTD) $(WARN) $(OPT) $(CPPFLAGS) -fPIC -shared -Wl,-z,now

$(INTERP_MODULES): $(OUT)/tests/interp/%.so: $(INTERP_TESTS)/%.c $(OUT)/python/.installed
	@mkdir -p $(@D)
	$(Q)$(INTERP_CC) \
	    -I$$($(OUT)/python/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("include"))') \
	    -o $@ $<

# An extension as the unpatched headers make it: those that are installed, without the patch.
INTERP_STOCK = $(OUT)/tests/interp/stock
INTERP_COUNTS = interp/cpython-3.13/0008-refcounts.patch
$(INTERP_TESTS)/stock.sh: $(INTERP_STOCK)/unsafe_counter.so $(INTERP_MODULES)
$(INTERP_STOCK)/unsafe_counter.so: $(INTERP_TESTS)/unsafe_counter.c $(INTERP_COUNTS) \
    $(OUT)/python/.installed
	@rm -rf $(@D) && mkdir -p $(@D)
	$(Q)cp -r $(OUT)/python/include/python3.13t $(@D)/Include
	$(Q)awk '/^--- / { on = $$2 == "a/Include/object.h" } on' $(INTERP_COUNTS) | \
	    patch -R -p1 -F0 -s -d $(@D)
	$(Q)$(INTERP_CC) -isystem $(@D)/Include -o $@ $<

# An interpreter whose transactions are all aborted at their begin, for CPython's own tests.
BEGINS = $(OUT)/obj/begins
$(BEGINS)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC   $< (begins)")
	$(Q)$(CC) $(CSTD) $(WARN) $(OPT) $(CPPFLAGS) $(ELISION_FLAGS) -fPIC -DELISION_TX_SCRIPTED=1 \
	    -MMD -MP -c -o $@ $<

$(BEGINS)/libelision.a: $(addprefix $(BEGINS)/,$(ELISION_SRCS:.c=.o) $(INTERP_TESTS)/begins.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(OUT)/python-begins/.begins: $(BEGINS)/libelision.a $(OUT)/python/.installed \
    $(INTERP_TESTS)/begins.sh
	$(Q)$(INTERP_TESTS)/begins.sh $< $(@D)
	@touch $@

# CPython's own tests against the stock build's: an hour and more. RUN=threads takes the tests of
# suite.txt, also with -X dev and forced switching; RUN="whole begins" one mode, see suite.sh.
.PHONY: python-suite
RUN = whole
python-suite: python python-stock $(OUT)/python-begins/.begins
	$(Q)$(INTERP_TESTS)/suite.sh $(RUN)

# Native time with elision on beside the plain GIL: a quarter of an hour on a quiet machine.
.PHONY: python-paired
python-paired: python
	$(Q)$(OUT)/python/bin/python3 $(INTERP_TESTS)/paired.py
