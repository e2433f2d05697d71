# SPDX-License-Identifier: MIT
PACKAGES_TEST += clang-format shellcheck universal-ctags
TESTS += tests/lint/lint.sh tests/lint/known_bad.sh
