# SPDX-License-Identifier: MIT
"""Sorts lists beside a thread at work and counts the aborts of each sort.

    sorting.py SIZE...

Prints one JSON object for each size: how many sorts gave up their transaction at once and how many
outgrew the cache. Run it under rtmgrind.
"""
import json
import random
import sys
import threading

import elision

SORTS = 6


def settle():
    """Long enough for what is counted to begin and end between sections."""
    for _ in range(3000):
        pass


def aborts():
    counts = elision.stats()["aborts"]
    return counts["irrevocable"], counts["capacity"]


def measure(size):
    rng = random.Random(size)
    keys = [rng.randrange(1 << 30) for _ in range(size)]
    wanted = sorted(keys)
    counts = {"size": size, "irrevocable": 0, "capacity": 0, "right": True}
    for _ in range(SORTS):
        copy = list(keys)
        before = aborts()
        settle()
        copy.sort()
        settle()
        after = aborts()
        # asking is irrevocable, too
        counts["irrevocable"] += after[0] - before[0] - 1
        counts["capacity"] += after[1] - before[1]
        counts["right"] &= copy == wanted
    return counts


def work():
    while not done:
        pass


done = False
beside = threading.Thread(target=work)
beside.start()
for word in sys.argv[1:]:
    print(json.dumps(measure(int(word))))
done = True
beside.join()
