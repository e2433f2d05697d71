# SPDX-License-Identifier: MIT
PACKAGES_TEST += clang-format shellcheck universal-ctags
# First: nothing is built for them, and lint.sh takes longest of those that run one process.
TESTS := tests/lint/lint.sh tests/lint/known_bad.sh $(TESTS)
TESTS_LONG += tests/lint/known_bad.sh
