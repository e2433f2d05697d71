# SPDX-License-Identifier: MIT
#
# libelision: out/lib/libelision.a (position independent) and out/lib/libelision.so.0. The sources
# of probes/ and fallback/ that belong to the library are part of it.

PACKAGES += libjansson-dev systemtap-sdt-dev pkg-config

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

# nodelete: a thread that has entered a section comes back at its exit, dlclose or not.
$(OUT)/lib/$(ELISION_SONAME): $(ELISION_OBJS) elision/libelision.map
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(CFLAGS) -shared -pthread -Wl,-soname,$(ELISION_SONAME) -Wl,-z,now -Wl,-z,relro \
	    -Wl,-z,nodelete -Wl,-z,defs -Wl,-Bsymbolic-functions \
	    -Wl,--version-script=elision/libelision.map $(LDFLAGS) -o $@ $(ELISION_OBJS)

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

# The command.
$(OUT)/bin/elision: $(OUT)/obj/elision/command/command.o $(OUT)/lib/libelision.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(CFLAGS) -pthread -Wl,-z,now $(LDFLAGS) -o $@ $^ -ljansson

ALL += $(OUT)/bin/elision

.PHONY: install-elision
INSTALL += install-elision
install-elision: $(OUT)/lib/libelision.a $(OUT)/lib/$(ELISION_SONAME) $(OUT)/bin/elision
	install -d $(DESTDIR)$(PREFIX)/include/elision $(DESTDIR)$(PREFIX)/lib/pkgconfig \
	    $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
	    $(DESTDIR)$(PREFIX)/share/man/man3
	install -m 644 elision/elision.h $(DESTDIR)$(PREFIX)/include/elision/
	install -m 644 $(OUT)/lib/libelision.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(OUT)/lib/$(ELISION_SONAME) \
	    $(DESTDIR)$(PREFIX)/lib/libelision.so.$(ELISION_VERSION)
	ln -sf libelision.so.$(ELISION_VERSION) $(DESTDIR)$(PREFIX)/lib/$(ELISION_SONAME)
	ln -sf $(ELISION_SONAME) $(DESTDIR)$(PREFIX)/lib/libelision.so
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(ELISION_VERSION)|' elision/elision.pc.in \
	    >$(DESTDIR)$(PREFIX)/lib/pkgconfig/elision.pc
	install -m 755 $(OUT)/bin/elision $(DESTDIR)$(PREFIX)/bin/
	install -m 644 elision/man/elision.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 elision/man/elision.3 $(DESTDIR)$(PREFIX)/share/man/man3/
	for page in enter try_enter leave checkpoint irrevocable section_conflicts; do \
	    ln -sf elision.3 $(DESTDIR)$(PREFIX)/share/man/man3/elision_$$page.3; \
	done
