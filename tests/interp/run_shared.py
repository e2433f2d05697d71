# SPDX-License-Identifier: MIT
"""Threads that put each other's objects into an extension's cell: run_shared.py THREADS CALLS

Prints "exact" when in the end each object has as many references as before and dies with the last.
Each is in use by all threads at once, so that its references are counted in every way there is.
"""
import sys
import threading
import warnings
import weakref

warnings.simplefilter("ignore", RuntimeWarning)
import unsafe_counter

threads, calls = int(sys.argv[1]), int(sys.argv[2])


class Shared:
    pass


objects = [Shared() for _ in range(3)]
dead = []
watches = [weakref.ref(shared, dead.append) for shared in objects]
before = [sys.getrefcount(shared) for shared in objects]
start = threading.Barrier(threads)


def body(index):
    mine = []
    start.wait()
    for n in range(calls):
        shared = objects[(index + n) % len(objects)]
        mine.append(shared)  # the interpreter's own count
        unsafe_counter.swap(shared)  # the extension's, and back what another thread put there
        if len(mine) == 8:
            mine.clear()


pool = [threading.Thread(target=body, args=(n,)) for n in range(threads)]
for thread in pool:
    thread.start()
for thread in pool:
    thread.join()

unsafe_counter.swap(None)
wrong = []
after = [sys.getrefcount(shared) for shared in objects]
if after != before:
    wrong.append(f"{after} references instead of {before}")
if dead:
    wrong.append("an object died while it was in use")
objects.clear()
if [watch() for watch in watches] != [None] * len(watches):
    wrong.append("an object outlives its references")

import elision
print("exact" if not wrong else "wrong: " + ", ".join(wrong))
print("active=%s commits=%d" % (elision.active(), elision.stats()["commits"]))
