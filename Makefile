# SPDX-License-Identifier: MIT
#
# One Makefile for the whole house. Each folder says what it builds in its own build.mk; this file
# gives those fragments their conventions and runs what they list.
#
# A fragment may append to:
#   PACKAGES       Debian packages that building and running need
#   PACKAGES_TEST  Debian packages that only tests, lint and benchmarks need
#   ALL            targets of a plain `make`
#   TESTS          executables or scripts that print TAP when run from this folder
#   TESTS_LONG     those of TESTS that make check leaves out, since it is to take a minute
#   TESTS_LATE     the same as TESTS, for the long ones that need out/python
#   STRESS         the same, for `make stress`
#   INSTALL        phony targets that install into $(DESTDIR)$(PREFIX)
# and may use the rule below for out/obj/<folder>/<file>.o.

OUT = out
CC ?= cc
CXX ?= c++
ifeq ($(origin CC),default)
CC = gcc
endif
ifeq ($(origin CXX),default)
CXX = g++
endif
AR = ar
CSTD = -std=c11
WARN = -Wall -Wextra -Wundef -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum
OPT = -O2 -g
CPPFLAGS = -I.
CFLAGS =
LDFLAGS =
PREFIX = /usr/local
DESTDIR =
JOBS := $(shell nproc 2>/dev/null || echo 1)
# V=1 shows the commands.
Q = $(if $(V),,@)

.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL = all

PACKAGES = build-essential ca-certificates perl valgrind xz-utils
PACKAGES_TEST =
ALL =
TESTS =
TESTS_LONG =
TESTS_LATE =
STRESS =
INSTALL =

include $(sort $(filter-out $(OUT)/%,$(wildcard */build.mk */*/build.mk)))

# --- Setting up -----------------------------------------------------------------------------------
# make brings included files up to date before anything else and then starts over, so packages are
# there before any fragment's rule, or question to pkg-config, is used. A dry run installs nothing.
GOALS := $(or $(MAKECMDGOALS),all)
NO_SETUP_GOALS = clean distclean help
BUILD_GOALS = all run python install $(NO_SETUP_GOALS)
ifneq ($(filter-out $(NO_SETUP_GOALS),$(GOALS)),)
ifeq ($(findstring n,$(firstword -$(MAKEFLAGS))),)
NEEDED := $(sort $(PACKAGES) $(if $(filter-out $(BUILD_GOALS),$(GOALS)),$(PACKAGES_TEST)))
include $(OUT)/setup.mk
$(OUT)/setup.mk: always
	@CC='$(CC)' CXX='$(CXX)' SETUP='$(SETUP)' tools/setup.sh $@ $(NEEDED)
endif
endif

# --- Targets --------------------------------------------------------------------------------------
.PHONY: always all setup python run test check stress lint format bench bench-quick install
.PHONY: clean distclean help

all: $(ALL)

setup: ; @:

# What prints TAP is built or found before the first test starts.
test: all python $(TESTS) $(TESTS_LATE)
	$(Q)tests/run.sh --log $(OUT)/tap --jobs $(JOBS) $(TESTS) -- $(TESTS_LATE)

TESTS_SHORT = $(filter-out $(TESTS_LONG),$(TESTS))
check: all $(TESTS_SHORT)
	$(Q)tests/run.sh --log $(OUT)/tap --jobs $(JOBS) $(TESTS_SHORT)

stress: all $(STRESS)
	$(Q)tests/run.sh --log $(OUT)/tap --jobs 1 --timeout 7200 $(STRESS)

# One point for each rule; lint's own test with known-bad samples runs in test.
lint:
	$(Q)tests/run.sh --log $(OUT)/tap $(LINT)

format:
	$(Q)git ls-files -co --exclude-standard '*.c' '*.h' '*.cc' | xargs -r clang-format -i

install: all $(INSTALL)

clean:
	rm -rf $(OUT)/obj $(OUT)/lib $(OUT)/bin $(OUT)/include $(OUT)/tests $(OUT)/tap

distclean:
	rm -rf $(OUT)

help:
	@sed -n 's/^#: //p' $(MAKEFILE_LIST)
	@echo "Variables: CC, CXX, CFLAGS, OPT, V=1 (show commands), JOBS, SETUP=0"

#: make           build the library, the emulator and the tools into out/
#: make run       the main job: tokenise real text on 1 to 8 threads, plain, elided, GIL off
#: make test      everything that can be checked; the last line is "N passed, N failed"
#: make check     the part of it that needs no interpreter, in about a minute
#: make stress    the same for longer: MINUTES=10 for each test
#: make lint      format, warnings, include direction, licences, sizes, scripts
#: make format    lay the C sources out with clang-format
#: make python    the patched interpreter, out/python/bin/python3
#: make setup     install the Debian packages that are missing (implied; SETUP=0 skips)
#: make bench     every suite, natively and emulated, in twenty minutes: out/bench/report.md
#: make bench-quick  the same in a minute
#: make install   PREFIX=/usr/local DESTDIR=
#: make clean     remove what is quickly built; distclean removes out/

# --- Rules every fragment may use -----------------------------------------------------------------
# Position-independent throughout: the same objects serve the archive, the shared library and the
# interpreter. Fragments add per-object flags with target-specific CFLAGS or CPPFLAGS.
$(OUT)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC   $<")
	$(Q)$(CC) $(CSTD) $(WARN) $(OPT) -fPIC $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)
