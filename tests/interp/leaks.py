# SPDX-License-Identifier: MIT
"""What is left over after many sections: references, memory blocks, resident memory.

    leaks.py THREADS TURNS

Threads share objects, and make and drop their own, in turns; between turns all wait, and what is
counted is compared with what it was after the first turns. Where the interpreter counts all
references (a debug build), their total is compared too.

Prints how many sections there were, and by how much each count has grown. Exit status: 0 no shared
object's count has changed, 1 one has, or a result is wrong, 2 bad usage.
"""
import gc
import resource
import sys
import threading

import elision

WARM = 4     # turns until caches, free lists and thread heaps have their size
TURN = 1500  # rounds of a thread's turn


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
        print("usage: leaks.py THREADS TURNS", file=sys.stderr)
        return 2
    threads, turns = int(arguments[0]), int(arguments[1])
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
    for n in range(WARM + turns):
        if n == WARM:
            first, begun = measure(), sections()
        barrier.wait()
        barrier.wait()
    last, passed = measure(), sections() - begun
    more = False
    barrier.wait()
    for thread in pool:
        thread.join()
    print("sections", passed, *(f"{key} {last[key] - first[key]}" for key in first))
    return 0 if len(results) == 1 and last["counts"] == first["counts"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
