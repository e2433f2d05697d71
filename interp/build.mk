# SPDX-License-Identifier: MIT
#
# make python        the patched interpreter, installed as out/python/bin/python3
# make python-stock  the same source and options without our patches, out/python-stock: a control
# make python-debug  the patched interpreter with assertions, which counts all references:
#                    out/cpython/build-debug/python, not installed
# make patch-check   the series applies to the pristine source without fuzz

PACKAGES += libbz2-dev libffi-dev liblzma-dev libssl-dev patch pkg-config zlib1g-dev

PY_HERE = interp/cpython-3.13
PY_OUT = $(OUT)/cpython
PY_ARCHIVE = $(PY_OUT)/python3.13_3.13.5.orig.tar.xz
PY_SERIES := $(PY_HERE)/series $(wildcard $(PY_HERE)/*.patch)
PY_GLUE := $(wildcard $(PY_HERE)/*.[ch]) elision/elision.h refcount/coalesce.h \
    rtmgrind/rtmgrind.h
PY_ENV = CC='$(CC)' JOBS='$(JOBS)'
PY_LIBRARIES = $(OUT)/lib/libelision-refcount.a $(OUT)/lib/libelision.a

.PHONY: python-stock python-debug patch-check

python: $(OUT)/python/.installed

$(PY_OUT)/tree: $(PY_SERIES) $(PY_GLUE) $(PY_HERE)/source.sh $(PY_HERE)/fetch.sh
	$(Q)$(PY_HERE)/source.sh $(PY_ARCHIVE) $@
	@touch $@

$(OUT)/python/.installed: $(PY_OUT)/tree $(PY_LIBRARIES) $(PY_HERE)/build.sh
	$(Q)$(PY_ENV) $(PY_HERE)/build.sh $(PY_OUT)/tree $(PY_OUT)/build $(@D) $(PY_LIBRARIES)
	@touch $@

$(PY_OUT)/pristine: $(PY_HERE)/source.sh $(PY_HERE)/fetch.sh
	$(Q)$(PY_HERE)/source.sh --pristine $(PY_ARCHIVE) $@
	@touch $@

python-stock: $(OUT)/python-stock/.installed

$(OUT)/python-stock/.installed: $(PY_OUT)/pristine $(PY_HERE)/build.sh
	$(Q)$(PY_ENV) $(PY_HERE)/build.sh $(PY_OUT)/pristine $(PY_OUT)/build-stock $(@D)
	@touch $@

python-debug: $(PY_OUT)/build-debug/.built

$(PY_OUT)/build-debug/.built: $(PY_OUT)/tree $(PY_LIBRARIES) $(PY_HERE)/build.sh
	$(Q)$(PY_ENV) PY_CONFIGURE=--with-pydebug PY_INSTALL=no $(PY_HERE)/build.sh \
	    $(PY_OUT)/tree $(@D) $(PY_OUT)/debug $(PY_LIBRARIES)
	@touch $@

# source.sh applies with no fuzz and stops at the first patch that needs some.
patch-check:
	$(Q)$(PY_HERE)/source.sh $(PY_ARCHIVE) $(PY_OUT)/patch-check
	$(Q)rm -rf $(PY_OUT)/patch-check
	@echo "patch-check: $$(grep -c '\.patch' $(PY_HERE)/series) patches apply without fuzz"
