# SPDX-License-Identifier: MIT
"""Nothing is left over after a million sections: references, memory blocks, resident memory.

    leaks.py THREADS SECTIONS

Threads share objects, and make and drop their own, in turns; between turns all wait, and what is
counted is compared with what it was after the first turns. Where the interpreter counts all
references (a debug build), their total is compared too.

Prints one line. Exit status: 0 steady, 1 not, 2 bad usage.
"""
import gc
import resource
import sys
import threading

import elision

WARM = 4            # turns until caches, free lists and thread heaps have their size
TURN = 1500         # rounds of a thread's turn
BLOCKS = 300        # memory blocks that may come and go: free lists, the collector's own
RESIDENT = 2 << 20  # bytes that may


class Node:
    def __init__(self, value, other):
        self.value = value
        self.other = other


SHARED = [Node(n, str(n) * 3) for n in range(50)]
TABLE = {node.other: node for node in SHARED}


def turn():
    """Borrows shared objects across checkpoints, drops them elsewhere, fails, makes cycles."""
    total = 0
    for n in range(TURN):
        node = SHARED[n % 50]
        kept = [node, TABLE[node.other]]
        try:
            if n % 7 == 0:
                raise ValueError(node)
            total += kept[1].value
        except ValueError as error:
            total += error.args[0].value
        mine = Node(n, kept)
        if n % 50 == 0:
            mine.other = mine
        total += len("%d:%s" % (n % 17, node.other))
    return total


def sections():
    stats = elision.stats()
    return stats["commits"] + stats["locked"]


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def measure():
    """To be called while the other threads wait: they have returned what they had on loan."""
    gc.collect()
    counts = [sys.getrefcount(thing) for node in SHARED for thing in (node, node.other)]
    total = sys.gettotalrefcount() if hasattr(sys, "gettotalrefcount") else 0
    return {"counts": sum(counts), "total": total, "blocks": sys.getallocatedblocks(),
            "resident": resident()}


def main(arguments):
    if len(arguments) != 2:
        print("usage: leaks.py THREADS SECTIONS", file=sys.stderr)
        return 2
    threads, wanted = int(arguments[0]), int(arguments[1])
    barrier = threading.Barrier(threads + 1)
    more = True
    results = set()

    def body():
        while True:
            barrier.wait()
            if not more:
                break
            results.add(turn())
            barrier.wait()

    pool = [threading.Thread(target=body) for _ in range(threads)]
    for thread in pool:
        thread.start()
    turns = 0
    while turns <= WARM or sections() - begun < wanted:
        barrier.wait()
        barrier.wait()
        turns += 1
        if turns == WARM:
            first, begun = measure(), sections()
    last, passed = measure(), sections() - begun
    more = False
    barrier.wait()
    for thread in pool:
        thread.join()
    grown = {key: last[key] - first[key] for key in first}
    steady = (len(results) == 1 and grown["counts"] == 0 and abs(grown["total"]) <= BLOCKS
              and abs(grown["blocks"]) <= BLOCKS and grown["resident"] <= RESIDENT)
    print(f"{'steady' if steady else 'grown'}: {passed} sections, {turns} turns, {grown}")
    return 0 if steady else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
