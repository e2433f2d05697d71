# SPDX-License-Identifier: MIT
"""Three kernels after the NAS Parallel Benchmarks, in pure Python: EP, IS and CG; and one of lists
that are too large for a transaction.

Each is a class: setup(threads) once, share(index) on each thread, result() afterwards. The work is
divided among the threads, and the result is the same on any number of them, to the last bit: sums
are formed block by block, and the blocks are added up in order.
"""
import math
import threading

BLOCKS = 32  # of work; thread t does every block b with b % threads == t


class Kernel:
    """What is divided into blocks; `step` runs them all and waits for the others."""

    def setup(self, threads):
        self.threads = threads
        self.barrier = threading.Barrier(threads)

    def step(self, index, work):
        for block in range(index, BLOCKS, self.threads):
            work(block)
        self.barrier.wait()


class EP(Kernel):
    """Embarrassingly parallel: Gaussian pairs by the polar method, counted by square annuli."""

    PAIRS = 24  # in a block

    def setup(self, threads):
        super().setup(threads)
        self.counts = [None] * BLOCKS

    def block(self, block):
        seed = (271828183 + 1220703125 * (block + 1)) % 2147483647
        counts = [0] * 10
        for _ in range(self.PAIRS):
            seed = seed * 16807 % 2147483647
            x = 2.0 * seed / 2147483647 - 1.0
            seed = seed * 16807 % 2147483647
            y = 2.0 * seed / 2147483647 - 1.0
            t = x * x + y * y
            if 0.0 < t <= 1.0:
                factor = math.sqrt(-2.0 * math.log(t) / t)
                counts[int(max(abs(x * factor), abs(y * factor)))] += 1
        self.counts[block] = counts

    def share(self, index):
        self.step(index, self.block)

    def result(self):
        return [sum(column) for column in zip(*self.counts)]


class IS(Kernel):
    """Integer sort: each block counts its keys, then each ranks a range of keys."""

    KEYS, RANGE = 32, 256  # keys in a block; their values

    def setup(self, threads):
        super().setup(threads)
        self.keys = [[(block * 7919 + n * 104729) % self.RANGE for n in range(self.KEYS)]
                     for block in range(BLOCKS)]
        self.counts = [None] * BLOCKS
        self.totals = [None] * BLOCKS
        self.ranks = [None] * BLOCKS

    def count(self, block):
        counts = [0] * self.RANGE
        for key in self.keys[block]:
            counts[key] += 1
        self.counts[block] = counts

    def total(self, block):
        width = self.RANGE // BLOCKS
        self.totals[block] = [sum(counts[key] for counts in self.counts)
                              for key in range(block * width, (block + 1) * width)]

    def rank(self, block):
        before = sum(sum(totals) for totals in self.totals[:block])
        ranks = []
        for total in self.totals[block]:
            ranks.append(before)
            before += total
        self.ranks[block] = ranks

    def share(self, index):
        for work in (self.count, self.total, self.rank):
            self.step(index, work)

    def result(self):
        return [rank for ranks in self.ranks for rank in ranks]


class CG(Kernel):
    """Conjugate gradients on a sparse, symmetric, positive definite matrix, a few iterations."""

    ROWS, ITERATIONS = 96, 3
    OFFSETS = (-17, -5, -1, 1, 5, 17)

    def setup(self, threads):
        super().setup(threads)
        self.rows = [[(column, -0.5) for column in (row + offset for offset in self.OFFSETS)
                      if 0 <= column < self.ROWS] + [(row, 8.0)] for row in range(self.ROWS)]
        self.x = [0.0] * self.ROWS
        self.r = [1.0 + row % 3 for row in range(self.ROWS)]
        self.p = list(self.r)
        self.q = [0.0] * self.ROWS
        self.partial = [0.0] * BLOCKS
        self.again = [0.0] * BLOCKS
        self.rho = sum(value * value for value in self.r)

    def of(self, block):
        width = self.ROWS // BLOCKS
        return range(block * width, (block + 1) * width)

    def multiply(self, block):
        total = 0.0
        for row in self.of(block):
            value = 0.0
            for column, factor in self.rows[row]:
                value += factor * self.p[column]
            self.q[row] = value
            total += value * self.p[row]
        self.partial[block] = total

    def share(self, index):
        rho = self.rho
        for _ in range(self.ITERATIONS):
            self.step(index, self.multiply)
            alpha = rho / math.fsum(self.partial)

            def move(block, alpha=alpha):
                total = 0.0
                for row in self.of(block):
                    self.x[row] += alpha * self.p[row]
                    self.r[row] -= alpha * self.q[row]
                    total += self.r[row] * self.r[row]
                self.again[block] = total

            self.step(index, move)
            before, rho = rho, math.fsum(self.again)

            def turn(block, beta=rho / before):
                for row in self.of(block):
                    self.p[row] = self.r[row] + beta * self.p[row]

            self.step(index, turn)

    def result(self):
        return self.x


class Large(Kernel):
    """Each block grows a list of thousands, sorts it and lets it go: steps that outgrow a cache."""

    KEYS = 2500  # in a block, of which every other one is done

    def setup(self, threads):
        super().setup(threads)
        self.middles = [0] * BLOCKS

    def block(self, block):
        keys = []
        seed = block + 1
        for _ in range(self.KEYS):
            seed = seed * 16807 % 2147483647
            keys.append(seed)
        keys.sort()
        self.middles[block] = keys[self.KEYS // 2]

    def share(self, index):
        for block in range(2 * index, BLOCKS, 2 * self.threads):
            self.block(block)

    def result(self):
        return sum(self.middles)
