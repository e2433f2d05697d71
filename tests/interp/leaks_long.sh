#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# More than a million sections, for `make stress`: some minutes.
exec tests/interp/leaks.sh 45
