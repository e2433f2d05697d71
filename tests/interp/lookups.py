# SPDX-License-Identifier: MIT
"""Attributes of a type whose names share an entry of the interpreter's type cache.

    lookups.py same|apart [THREADS [ROUNDS]]

Three class attributes are read again and again by all threads, their names chosen so that the cache
has one entry for all of them, or one for each. Between phases the main thread changes, deletes and
adds them, while the threads remember what they saw. Prints one JSON object: whether every value was
right, the time of the first phase and its counts. Run it under rtmgrind: the time is virtual there.
Exit status: 0 right values, 1 wrong ones, 2 bad usage.
"""
import json
import sys
import threading
import time

import elision

ENTRIES = 4096  # of the type cache, found by the type's version and the name's address / 8


class Shared:
    __slots__ = ()


def choose_names(same):
    """Three names; equal strings in source become the same objects, since they are interned."""
    entries = {}
    for n in range(3 * ENTRIES):
        name = sys.intern("name%d" % n)
        names = entries.setdefault(id(name) // 8 % ENTRIES, [])
        names.append(name)
        if same and len(names) == 3:
            return names
        if not same and len(entries) == 3:
            return [names[0] for names in entries.values()]
    raise RuntimeError("no three names share an entry")


def make_work(names):
    scope = {}
    exec("""def work(shared, rounds):
    total = 0
    for _ in range(rounds):
        total += shared.%s + shared.%s + shared.%s
    return total""" % tuple(names), scope)
    return scope["work"]


def missing(shared, names):
    """Of the names, those that the type does not have, twice: what is absent is remembered too."""
    return [[name for name in names if not hasattr(shared, name)] for _ in range(2)]


def main(arguments):
    if not arguments or arguments[0] not in ("same", "apart") or len(arguments) > 3:
        print("usage: lookups.py same|apart [THREADS [ROUNDS]]", file=sys.stderr)
        return 2
    threads = int(arguments[1]) if len(arguments) > 1 else 4
    rounds = int(arguments[2]) if len(arguments) > 2 else 2000
    names = choose_names(arguments[0] == "same")
    work = make_work(names)
    for value, name in enumerate(names):
        setattr(Shared, name, 10 ** value)
    seen = [[] for _ in range(threads)]
    times = []
    gate = threading.Barrier(threads + 1)

    def body(saw):
        shared = Shared()
        for phase in range(4):
            gate.wait()
            begin = time.perf_counter()
            saw.append(missing(shared, names) if phase == 2 else work(shared, rounds))
            if phase == 0:
                times.append((begin, time.perf_counter()))
            gate.wait()

    pool = [threading.Thread(target=body, args=(saw,)) for saw in seen]
    for thread in pool:
        thread.start()
    before = elision.stats()
    gate.wait()
    gate.wait()
    after = elision.stats()
    for value, name in enumerate(names):
        setattr(Shared, name, 2 * 10 ** value)
    gate.wait()
    gate.wait()
    delattr(Shared, names[1])
    gate.wait()
    gate.wait()
    setattr(Shared, names[1], 30)
    gate.wait()
    gate.wait()
    for thread in pool:
        thread.join()
    wanted = [111 * rounds, 222 * rounds, [[names[1]]] * 2, 232 * rounds]
    right = all(saw == wanted for saw in seen)
    seconds = max(end for _, end in times) - min(begin for begin, _ in times)
    print(json.dumps({"right": right, "seconds": seconds,
                      "starts": after["starts"] - before["starts"],
                      "commits": after["commits"] - before["commits"]}))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
