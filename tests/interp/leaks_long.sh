#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A million sections, for `make stress`: some minutes.
exec tests/interp/leaks.sh 1000000
