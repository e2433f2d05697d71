# SPDX-License-Identifier: MIT
# The main job. The table is of RUN_THREADS threads over RUN_FILES files of the interpreter's Lib/.

# Compiling mrab-regex takes pip's own needs; the plot takes gnuplot.
PACKAGES += ca-certificates gnuplot-nox

RUN_THREADS = 1,2,4,8
RUN_FILES = 16
REGEX = $(OUT)/regex
REGEX_INPUTS = $(addprefix interp/run/,regex.sh requirements.txt requirements-build.txt)

run: all python $(REGEX)/stamp
	$(Q)$(OUT)/python/bin/python3 -B interp/run/run.py --python $(OUT)/python/bin/python3 \
	    --site $(REGEX)/site --rtmgrind $(OUT)/bin/rtmgrind --out $(OUT) \
	    --threads $(RUN_THREADS) --files $(RUN_FILES)

# Rebuilt when its pin changes or the interpreter's source, with its headers, does.
$(REGEX)/stamp: $(REGEX_INPUTS) $(PY_OUT)/tree | $(OUT)/python/.installed
	$(Q)interp/run/regex.sh $(OUT)/python/bin/python3 $(REGEX)
	@touch $@
