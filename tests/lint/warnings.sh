#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The one check of lint.sh that takes longer than all others, by itself: it compiles every source,
# as making the library does too. So make check can do without.
exec tests/lint/lint.sh warnings
