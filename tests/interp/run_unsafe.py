# SPDX-License-Identifier: MIT
"""Threads that use an extension which needs the GIL: run_unsafe.py THREADS CALLS [swap]

Prints "exact" when no update was lost, else "lost" and what. With swap, objects go through a cell
whose references an unlucky interleaving counts twice: not for a run with the GIL off.
"""
import sys
import threading
import warnings

warnings.simplefilter("ignore", RuntimeWarning)
import unsafe_counter

threads, calls = int(sys.argv[1]), int(sys.argv[2])
with_swap = sys.argv[3:] == ["swap"]
wrong = []
swapped = []
start = threading.Barrier(threads)


def body(index):
    got = []
    start.wait()
    for n in range(calls):
        try:
            unsafe_counter.bump(3)
        except RuntimeError as error:
            wrong.append(str(error))
            return
        number = index * 1000000 + n
        if unsafe_counter.format(number) != str(number):
            wrong.append("format")
        if with_swap:
            got.append(unsafe_counter.swap((index, n)))
    swapped.append(got)


pool = [threading.Thread(target=body, args=(n,)) for n in range(threads)]
for thread in pool:
    thread.start()
for thread in pool:
    thread.join()

if unsafe_counter.total() != threads * calls * 3:
    wrong.append("total %d instead of %d" % (unsafe_counter.total(), threads * calls * 3))
if with_swap:
    # Each object put in comes out once; the last one is still inside.
    out = sorted(item for got in swapped for item in got if item is not None)
    last = unsafe_counter.swap(None)
    if sorted(out + [last]) != [(i, n) for i in range(threads) for n in range(calls)]:
        wrong.append("swap lost or doubled an object")

import elision
stats = elision.stats()
print("exact" if not wrong else "lost: " + ", ".join(sorted(set(wrong))[:3]))
print("gil=%s active=%s commits=%d modules=%s" % (
    sys._is_gil_enabled(), elision.active(), stats["commits"],
    [name for name, _ in elision.gil_modules()]))
