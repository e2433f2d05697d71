# SPDX-License-Identifier: MIT
"""Caches of functools used by threads: what they keep, in which order, and what hits cost.

    caches.py exact SEED          each thread its own, all one, two by turns, and dying ones
    caches.py hits SIZE THREADS ROUNDS
                                  threads that find 16 keys in one cache of SIZE entries (0: any)

exact compares each call with a model and prints "exact". hits prints one JSON object: the time and
what the library counted. Run it under rtmgrind: the time is virtual there.
Exit status: 0 all right, 1 something was wrong, 2 bad usage.
"""
import collections
import functools
import json
import random
import sys
import threading
import time

import elision

THREADS = 4
SIZES = None, 1, 2, 7, 100


class Model:
    """What lru_cache(size) is documented to do."""

    def __init__(self, size):
        self.size = size
        self.clear()

    def clear(self):
        self.entries = collections.OrderedDict()
        self.hits = self.misses = 0

    def call(self, key):
        """Whether the function runs; key // 3 is asked for first then."""
        if key in self.entries:
            self.hits += 1
            self.entries.move_to_end(key)
            return []
        self.misses += 1
        ran = [key] + (self.call(key // 3) if key > 60 else [])
        if key not in self.entries:
            if len(self.entries) == self.size:
                self.entries.popitem(last=False)
            self.entries[key] = None
        return ran

    def info(self):
        return self.hits, self.misses, self.size, len(self.entries)


class Cached:
    """A cache and its model, in step."""

    def __init__(self, size):
        self.model = Model(size)
        self.ran = []
        self.function = functools.lru_cache(size)(self.compute)

    def compute(self, key):
        self.ran.append(key)
        return key * key + (0 * self.function(key // 3) if key > 60 else 0)

    def step(self, rng, key):
        chance = rng.random()
        kept = list(self.model.entries)
        if chance < 0.02:
            self.function.cache_clear()
            self.model.clear()
        elif chance < 0.03:
            self.check(range(100))
            self.check(range(100))  # in one section, if all are hits
        elif chance < 0.2 and kept:
            self.check(rng.choices(kept, k=12))  # these are
        elif chance < 0.3:
            assert tuple(self.function.cache_info()) == self.model.info()
        else:
            self.check([key])

    def check(self, keys):
        self.ran.clear()
        assert list(map(self.function, keys)) == [key * key for key in keys]
        assert self.ran == sum(map(self.model.call, keys), []), (self.ran, keys)


def own(rng):
    """Nobody else uses them."""
    caches = [Cached(size) for size in SIZES]
    for _ in range(400):
        # mostly few keys: hits, in runs longer than a section
        rng.choice(caches).step(rng, rng.randrange(rng.choice((3, 9, 70, 120))))


def shared(rng, caches, calls):
    for _ in range(400):
        cache, key = rng.choice(caches), rng.randrange(rng.choice((3, 9, 70)))
        assert cache(key) == -key
        calls.append(cache)


def by_turns(rng, cached, mine, others):
    """One thread's hits are there when the other one's turn comes."""
    for _ in range(40):
        mine.acquire()
        for _ in range(rng.randrange(40)):
            cached.step(rng, rng.randrange(9))
        others.release()


class Result:
    """Asks a cache when it dies: another one, or the one that it was in."""

    def __init__(self, ask):
        self.ask = ask

    def __del__(self):
        self.ask(1)


def dying(rng, survivor):
    asked = 0
    for _ in range(60):
        made = functools.lru_cache(rng.choice(SIZES))(lambda key: Result(survivor))
        keys = [rng.randrange(9) for _ in range(rng.randrange(12))]
        for key in keys:
            made(key)
        asked += made.cache_info().misses
        if rng.random() < 0.5:
            made.cache_clear()
        del made
        assert survivor(1) == -1
    return asked


def exact(seed):
    errors = []
    caches = [functools.lru_cache(size)(lambda key: -key) for size in SIZES]
    survivor = functools.lru_cache(3)(lambda key: -key)
    calls = [[] for _ in range(THREADS)]
    turns = [threading.Semaphore(1), threading.Semaphore(0)]
    cached = Cached(4)
    asked = []

    def body(index):
        rng = random.Random(seed * THREADS + index)
        try:
            own(rng)
            shared(rng, caches, calls[index])
            if index < 2:
                by_turns(rng, cached, turns[index], turns[1 - index])
            asked.append(dying(rng, survivor))
        except BaseException as error:
            errors.append(error)
            turns[0].release(100)
            turns[1].release(100)

    pool = [threading.Thread(target=body, args=(index,)) for index in range(THREADS)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    if errors:
        raise errors[0]
    for cache, size in zip(caches, SIZES):
        info = cache.cache_info()
        assert info.hits + info.misses == sum(made.count(cache) for made in calls), info
        assert size is None or info.currsize <= size, info
    info = survivor.cache_info()
    assert info.hits + info.misses == sum(asked) + 60 * THREADS, info
    return "exact"


def hits(size, threads, rounds):
    @functools.lru_cache(size or None)
    def square(key):
        return key * key

    times = []
    gate = threading.Barrier(threads + 1)

    def body():
        gate.wait()
        begin = time.perf_counter()
        total = 0
        for n in range(rounds):
            total += square(n & 15)
        times.append((begin, time.perf_counter()))
        assert total == 1240 * rounds // 16

    pool = [threading.Thread(target=body) for _ in range(threads)]
    for thread in pool:
        thread.start()
    before = elision.stats()
    gate.wait()
    for thread in pool:
        thread.join()
    after = elision.stats()
    info = square.cache_info()
    assert info.hits + info.misses == threads * rounds and info.currsize == 16, info
    return json.dumps({"seconds": max(end for _, end in times) - min(begin for begin, _ in times),
                       "starts": after["starts"] - before["starts"],
                       "commits": after["commits"] - before["commits"]})


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "exact":
        print(exact(int(arguments[1])))
    elif len(arguments) == 4 and arguments[0] == "hits":
        print(hits(*map(int, arguments[1:])))
    else:
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
