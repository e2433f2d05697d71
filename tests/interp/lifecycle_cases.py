# SPDX-License-Identifier: MIT
"""What happens to an elided GIL in a life: lifecycle_cases.py CASE, or --list.

Each case starts threads that are busy in Python, does something to the interpreter meanwhile, and
prints "ok" when everything came out as it does under the plain GIL.
"""
import contextlib
import gc
import importlib
import os
import queue
import signal
import sys
import threading
import warnings

EMULATED = os.environ.get("LIFECYCLE_SCALE") == "small"
ROUNDS = 3 if EMULATED else 30


def spin(rounds):
    total = 0
    table = {}
    for n in range(rounds):
        table[n & 7] = total
        total += n * 3 % 7
    return total


@contextlib.contextmanager
def busy(threads=3):
    """Threads that compute until the block ends; fails if one of them computed wrongly."""
    wanted = spin(200)
    done = threading.Event()
    failed = []

    def body():
        while not done.is_set():
            if spin(200) != wanted:
                failed.append(threading.current_thread().name)

    pool = [threading.Thread(target=body) for _ in range(threads)]
    for thread in pool:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in pool:
            thread.join()
    assert not failed, failed


def extension(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return importlib.import_module(name)


def fork_from_threads():
    def child():
        results = []
        thread = threading.Thread(target=lambda: results.append(spin(300)))
        thread.start()
        thread.join()
        os._exit(0 if results == [spin(300)] else 3)

    def forks():
        for _ in range(ROUNDS // 3 + 1):
            pid = os.fork()
            if pid == 0:
                child()
            status.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    status = []
    warnings.simplefilter("ignore", DeprecationWarning)
    with busy():
        forks()
        thread = threading.Thread(target=forks)
        thread.start()
        thread.join()
    assert set(status) == {0}, status


def fork_while_threads_end():
    """A child does not find a thread state that its thread was in the middle of leaving."""
    warnings.simplefilter("ignore", DeprecationWarning)
    status = []
    for n in range(5 * ROUNDS):
        pool = [threading.Thread(target=spin, args=(m * n % 7,)) for m in range(8)]
        for thread in pool:
            thread.start()
        pid = os.fork()
        if pid == 0:
            gc.collect()
            os._exit(0)
        status.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        for thread in pool:
            thread.join()
    assert set(status) == {0}, status


def collect_loops():
    class Node:
        freed = 0

        def __del__(self):
            Node.freed += 1

    def rings(count):
        for _ in range(count):
            a, b = Node(), Node()
            a.other, b.other = b, a

    with busy(2):
        pool = [threading.Thread(target=rings, args=(ROUNDS,)) for _ in range(2)]
        for thread in pool:
            thread.start()
        for _ in range(ROUNDS):
            gc.collect()
        for thread in pool:
            thread.join()
        gc.collect()
    assert Node.freed == 4 * ROUNDS, Node.freed


def subinterpreters():
    import _interpreters

    def one(kind):
        interp = _interpreters.create(kind)
        try:
            error = _interpreters.run_string(interp, "assert sum(range(2000)) == 1999000")
            assert error is None, error
        finally:
            _interpreters.destroy(interp)

    with busy(2):
        for kind in ("isolated", "legacy"):
            one(kind)
        errors = []
        threading.excepthook = lambda args: errors.append(args.exc_value)
        pool = [threading.Thread(target=one, args=("isolated",)) for _ in range(2)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
        assert not errors, errors


def daemon_threads_at_exit():
    def forever():
        while True:
            spin(50)

    for _ in range(4):
        threading.Thread(target=forever, daemon=True).start()
    spin(500)


def signals_to_the_main_thread():
    seen = []
    signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(threading.current_thread()))
    with busy():
        for n in range(ROUNDS):
            os.kill(os.getpid(), signal.SIGUSR1)
            while len(seen) <= n:
                spin(20)
        try:
            signal.raise_signal(signal.SIGINT)
            spin(100000)
            raise AssertionError("no KeyboardInterrupt")
        except KeyboardInterrupt:
            pass
    assert seen == [threading.main_thread()] * ROUNDS, seen


def legacy_import_while_threads_run():
    import elision
    assert not sys._is_gil_enabled()
    with busy():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import unsafe_counter
        assert len(caught) == 1 and "unsafe_counter" in str(caught[0].message), caught
        assert sys._is_gil_enabled()
        pool = [threading.Thread(target=unsafe_counter.bump, args=(50,)) for _ in range(4)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
    assert unsafe_counter.total() == 200, unsafe_counter.total()
    assert [name for name, _ in elision.gil_modules()] == ["unsafe_counter"]


def kill_switch_while_threads_run():
    import elision
    with busy():
        for n in range(2 * ROUNDS):
            elision.set_enabled(n % 2 == 1)
            assert elision.enabled() == (n % 2 == 1)
            spin(300)
        elision.set_enabled(False)
        spin(200)
        starts = elision.stats()["starts"]
        spin(2000)
        # Those under way when it was switched off have ended; no new one begins.
        assert elision.stats()["starts"] == starts and not elision.active()
        elision.set_enabled(True)


def tracing_switched_on():
    calls = []

    def trace(frame, event, arg):
        calls.append(frame.f_code.co_name)

    with busy():
        threading.settrace_all_threads(trace)
        spin(10)
        while "spin" not in calls:
            spin(10)
        threading.settrace_all_threads(None)
        count = 0
        sys.monitoring.use_tool_id(3, "lifecycle")

        def started(code, offset):
            nonlocal count
            count += 1

        sys.monitoring.register_callback(3, sys.monitoring.events.PY_START, started)
        sys.monitoring.set_events(3, sys.monitoring.events.PY_START)
        while count < 5:
            spin(10)
        sys.monitoring.set_events(3, 0)
        sys.monitoring.free_tool_id(3)


def asynchronous_exception():
    import ctypes
    raised = threading.Event()

    class Stop(Exception):
        pass

    def body():
        try:
            while True:
                spin(30)
        except Stop:
            raised.set()

    with busy(2):
        thread = threading.Thread(target=body)
        thread.start()
        set_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
        changed = set_exc(ctypes.c_ulong(thread.ident), ctypes.py_object(Stop))
        thread.join()
    assert changed == 1 and raised.is_set()


def tiny_switch_interval():
    # Less than a microsecond is one, not none: these threads let nobody in unless they must.
    interval = sys.getswitchinterval()
    for tiny in (1e-6, 1e-9):
        sys.setswitchinterval(tiny)
        with busy(4):
            spin(50 * ROUNDS)
    sys.setswitchinterval(interval)


def frames_and_tracebacks():
    import faulthandler
    import tempfile
    with busy(), tempfile.TemporaryFile() as file:
        for _ in range(ROUNDS):
            assert len(sys._current_frames()) == 4
            faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        assert file.read().count(b"in spin") > 0


def thread_churn():
    results = []
    for _ in range(ROUNDS):
        pool = [threading.Thread(target=lambda: results.append(spin(20))) for _ in range(5)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
    assert results == [spin(20)] * (5 * ROUNDS)


def queues_and_conditions():
    items = queue.Queue(3)
    out = []

    def consumer():
        while (item := items.get()) is not None:
            out.append(item)

    pool = [threading.Thread(target=consumer) for _ in range(3)]
    for thread in pool:
        thread.start()
    for n in range(20 * ROUNDS):
        items.put(n)
    for _ in pool:
        items.put(None)
    for thread in pool:
        thread.join()
    assert sorted(out) == list(range(20 * ROUNDS))


def critical_section_across_checkpoints():
    # list.sort() holds the list's critical section while its key function runs Python code, so
    # sections of the GIL end inside it.
    shared = list(range(50))

    def key(value):
        spin(30)
        return -value

    def sorter():
        for _ in range(ROUNDS):
            mine = shared.copy()
            mine.sort(key=key)
            assert mine == sorted(mine, reverse=True)

    errors = []
    threading.excepthook = lambda args: errors.append(args.exc_value)
    pool = [threading.Thread(target=sorter) for _ in range(3)]
    for thread in pool:
        thread.start()
    for n in range(20 * ROUNDS):
        shared.append(shared.pop(0))
    for thread in pool:
        thread.join()
    assert not errors, errors


def shared_objects_die():
    # Counts of objects of another thread go through a table and may be lent for a while: all the
    # same nothing is lost, nothing dies early, and a weak reference sees what it should.
    import weakref

    class Thing:
        alive = 0

        def __init__(self):
            Thing.alive += 1
            self.payload = [self.alive]

        def __del__(self):
            Thing.alive -= 1

    things = [Thing() for _ in range(20)]
    references = [weakref.ref(thing) for thing in things]
    seen = []

    def reader():
        for _ in range(ROUNDS):
            for reference in references:
                thing = reference()
                assert thing.payload[0] >= 1
                spin(3)
        seen.append(sum(thing.payload[0] for thing in things))

    errors = []
    threading.excepthook = lambda args: errors.append(args.exc_value)
    pool = [threading.Thread(target=reader) for _ in range(4)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    assert not errors and len(set(seen)) == 1 and Thing.alive == 20, (errors, seen, Thing.alive)
    assert all(sys.getrefcount(thing) <= 4 for thing in things)

    def dropper():
        while True:
            try:
                thing = things.pop()
            except IndexError:
                return
            spin(5)
            del thing

    pool = [threading.Thread(target=dropper) for _ in range(3)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    gc.collect()
    assert Thing.alive == 0 and not any(reference() for reference in references), Thing.alive


def loans_end():
    # References that threads keep for later are returned where a thread blocks, and before long
    # where it goes on without the object.
    import weakref
    lending = extension("lending")

    class Thing:
        pass

    for blocks in (True, False):
        things = [Thing()]
        alone = sys.getrefcount(things[0])
        reference = weakref.ref(things[0])
        used = []
        stop = threading.Event()

        def user():
            for _ in range(300 * ROUNDS):
                hash(things[0])
            lending.lend(things)
            used.append(True)
            while not stop.is_set():
                stop.wait() if blocks else spin(50)

        pool = [threading.Thread(target=user) for _ in range(4)]
        for thread in pool:
            thread.start()
        while len(used) < len(pool):
            spin(50)
        if blocks:
            # Until all are in stop.wait(), which nobody can see; no count is off after that.
            for _ in range(5000):
                if sys.getrefcount(things[0]) == alone:
                    break
                spin(20)
            assert sys.getrefcount(things[0]) == alone
        things.clear()
        for _ in range(5000):
            if reference() is None:
                break
            spin(20)
        assert reference() is None
        stop.set()
        for thread in pool:
            thread.join()


def subprocesses_from_threads():
    import subprocess
    codes = []
    with busy(2):
        pool = [threading.Thread(target=lambda: codes.append(subprocess.call(["/bin/true"])))
                for _ in range(3)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
        codes.append(subprocess.call(["/bin/true"], close_fds=False))
        pid = os.posix_spawn("/bin/true", ["true"], os.environ)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    assert codes == [0] * 5, codes


def tracemalloc_counts_the_program():
    """What the interpreter remembers of lines where sections begin is not the program's."""
    import time
    import tracemalloc
    lines = compile("for n in numbers: pass\nsleep(0)\n" * 20, "many lines", "exec")
    names = {"sleep": time.sleep, "numbers": range(300), "n": 0}
    exec(compile("sleep(0)", "one line", "exec"), names)
    wait = threading.Lock()
    with wait:
        thread = threading.Thread(target=wait.acquire)
        thread.start()
        tracemalloc.start()
        exec(lines, names)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    thread.join()
    assert size < 1000, size


CASES = [fork_from_threads, fork_while_threads_end, collect_loops, subinterpreters,
         daemon_threads_at_exit,
         signals_to_the_main_thread, legacy_import_while_threads_run,
         kill_switch_while_threads_run, tracing_switched_on, asynchronous_exception,
         tiny_switch_interval, frames_and_tracebacks, thread_churn, queues_and_conditions,
         critical_section_across_checkpoints, shared_objects_die, loans_end,
         subprocesses_from_threads, tracemalloc_counts_the_program]


def main(cases):
    if sys.argv[1:] == ["--list"]:
        print(" ".join(case.__name__ for case in cases))
    else:
        {case.__name__: case for case in cases}[sys.argv[1]]()
        print("ok")


if __name__ == "__main__":
    main(CASES)
