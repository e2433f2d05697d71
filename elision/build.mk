# SPDX-License-Identifier: MIT
#
# libelision: out/lib/libelision.a (position independent) and out/lib/libelision.so.0. The sources
# of probes/ and fallback/ that belong to the library are part of it.

PACKAGES += systemtap-sdt-dev pkg-config

ELISION_VERSION = 0.1.0
ELISION_SONAME = libelision.so.0
ELISION_SRCS = $(wildcard elision/*.c) $(wildcard fallback/*.c) probes/cpu.c
ELISION_OBJS = $(ELISION_SRCS:%.c=$(OUT)/obj/%.o)
# Inside a transaction no call may go through an unresolved PLT entry, nor ask for a TLS address.
ELISION_FLAGS = -pthread -fvisibility=hidden -fno-plt -fno-semantic-interposition \
                -ftls-model=initial-exec

$(ELISION_OBJS): CFLAGS += $(ELISION_FLAGS)
ALL += $(OUT)/lib/libelision.a $(OUT)/lib/libelision.so $(OUT)/include/elision/elision.h

$(OUT)/lib/libelision.a: $(ELISION_OBJS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  AR   $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(OUT)/lib/$(ELISION_SONAME): $(ELISION_OBJS) elision/libelision.map
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(CFLAGS) -shared -pthread -Wl,-soname,$(ELISION_SONAME) -Wl,-z,now -Wl,-z,relro \
	    -Wl,-z,defs -Wl,-Bsymbolic-functions -Wl,--version-script=elision/libelision.map $(LDFLAGS) -o $@ $(ELISION_OBJS)

$(OUT)/lib/libelision.so: $(OUT)/lib/$(ELISION_SONAME)
	$(Q)ln -sf $(ELISION_SONAME) $@

$(OUT)/include/elision/elision.h: elision/elision.h
	@mkdir -p $(@D)
	$(Q)cp $< $@

# The knobs' document comes from the same table as their parser.
.PHONY: knobs-doc
knobs-doc: $(OUT)/obj/elision/knobs_doc
	$(Q)$< >docs/knobs.md

$(OUT)/obj/elision/knobs_doc: $(OUT)/obj/elision/doc/knobs_doc.o $(OUT)/obj/elision/knobs.o
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^
