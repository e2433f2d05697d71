# SPDX-License-Identifier: MIT
"""A thread at work while all others wait: it holds the GIL, until one of them comes.

    alone.py

Prints one JSON object. Run it under rtmgrind: times are virtual microseconds there.
"""
import gc
import json
import os
import sys
import threading
import time

import _interpreters
import elision

sys.path.insert(0, "tests/interp")
import workloads

ROUNDS = 100


def together(*works):
    """Threads do these, all at once; this one waits. Transactions begun, and the time it took."""
    threads = [threading.Thread(target=work) for work in works]
    before = elision.stats()["starts"]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    return elision.stats()["starts"] - before, round(seconds * 1e6)


def work():
    workloads.closures(ROUNDS)


def checks_until_another_has_come():
    """Another thread wakes and wants the GIL, for which nothing would make this one stop."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    came = []

    def come():
        time.sleep(0.001)
        came.append(True)

    thread = threading.Thread(target=come)
    thread.start()
    checks = 0
    while not came and checks < 200_000:
        checks += 1
    thread.join()
    sys.setswitchinterval(interval)
    return checks


def in_a_child():
    """What a child of fork has, which is alone and then not."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, json.dumps([together(work)[0], together(work, work)[0]]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(text)


def another_interpreter(config):
    interpreter = _interpreters.create(config)
    _interpreters.run_string(interpreter, "for _ in range(2000): pass")
    _interpreters.destroy(interpreter)


def come_and_go():
    """All ways to get hold of the GIL and to let go of it."""
    def short():
        for _ in range(20):
            time.sleep(0)
            [None] * 1000

    for _ in range(3):
        together(*[short] * 4)
        together(work, gc.collect, short)
        together(lambda: another_interpreter("isolated"), lambda: another_interpreter("legacy"),
                 short)
    if elision.active():
        elision.set_enabled(False)
        together(work, short)
        elision.set_enabled(True)


def main():
    alone, microseconds = together(work)
    row = {"alone": alone, "microseconds": microseconds, "pair": together(work, work)[0],
           "checks": checks_until_another_has_come(), "child": in_a_child()}
    come_and_go()
    row["alone_again"] = together(work)[0]
    row["pair_again"] = together(work, work)[0]
    row["child_again"] = in_a_child()
    print(json.dumps(row))


main()
