# SPDX-License-Identifier: MIT
PACKAGES_TEST += clang-format shellcheck universal-ctags
# First: nothing is built for them, and they take longest of those that run one process.
LINT = tests/lint/warnings.sh tests/lint/lint.sh
TESTS := $(LINT) tests/lint/known_bad.sh $(TESTS)
TESTS_LONG += tests/lint/warnings.sh tests/lint/known_bad.sh
