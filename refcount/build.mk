# SPDX-License-Identifier: MIT
#
# out/lib/libelision-refcount.a: reference counts that do not conflict. Position independent, so
# that it can become part of an interpreter's shared library.

PACKAGES_TEST += libcmocka-dev

REFCOUNT_SRCS = $(wildcard refcount/*.c)
REFCOUNT_OBJS = $(REFCOUNT_SRCS:%.c=$(OUT)/obj/%.o)
REFCOUNT_LIB = $(OUT)/lib/libelision-refcount.a
REFCOUNT_HEADERS = $(patsubst refcount/%,$(OUT)/include/refcount/%,$(wildcard refcount/*.h))

$(REFCOUNT_OBJS): CFLAGS += -pthread -fvisibility=hidden -fno-plt -ftls-model=initial-exec
ALL += $(REFCOUNT_LIB) $(REFCOUNT_HEADERS)

$(REFCOUNT_LIB): $(REFCOUNT_OBJS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  AR   $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(REFCOUNT_HEADERS): $(OUT)/include/refcount/%.h: refcount/%.h
	@mkdir -p $(@D)
	$(Q)cp $< $@

.PHONY: install-refcount
INSTALL += install-refcount
install-refcount: $(REFCOUNT_LIB)
	install -d $(DESTDIR)$(PREFIX)/include/refcount $(DESTDIR)$(PREFIX)/lib
	install -m 644 refcount/coalesce.h refcount/refcount.h $(DESTDIR)$(PREFIX)/include/refcount/
	install -m 644 $(REFCOUNT_LIB) $(DESTDIR)$(PREFIX)/lib/
