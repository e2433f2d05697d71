# SPDX-License-Identifier: MIT
"""What Google Benchmark's compare.py takes from scipy: a geometric mean of pairs, and the U
test, here by its normal approximation."""
import collections
import itertools
import statistics

from numpy import array


def gmean(pairs):
    return array(statistics.geometric_mean(column) for column in zip(*pairs))


def mannwhitneyu(left, right, alternative):
    assert alternative == "two-sided"
    pool = sorted(itertools.chain(left, right))
    ranks = {value: statistics.mean(rank for rank, other in enumerate(pool, 1) if other == value)
             for value in set(pool)}
    n, m = len(left), len(right)
    u = sum(ranks[value] for value in left) - n * (n + 1) / 2
    ties = sum(pool.count(value) ** 3 - pool.count(value) for value in set(pool))
    spread = (n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))) ** 0.5
    z = (abs(u - n * m / 2) - 0.5) / spread if spread else 0
    p = min(1.0, 2 * (1 - statistics.NormalDist().cdf(z)))
    return collections.namedtuple("Result", "statistic pvalue")(u, p)
