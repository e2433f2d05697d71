#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# leaks.sh on an interpreter that counts all references and checks assertions, for `make stress`.
exec tests/interp/leaks.sh 2 out/cpython/build-debug/python
