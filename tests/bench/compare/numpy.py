# SPDX-License-Identifier: MIT
"""What Google Benchmark's compare.py takes from numpy: one class. Its package wants neither."""


class array(list):
    def any(self):
        return any(self)
