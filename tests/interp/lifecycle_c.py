# SPDX-License-Identifier: MIT
"""What C code and the memory below it see of an elided GIL: lifecycle_c.py CASE, or --list.

As lifecycle_cases.py.
"""
import atexit
import bz2
import ctypes
import gc
import lzma
import os
import queue
import sys
import tempfile
import threading
import time
import weakref
import zlib

from lifecycle_cases import EMULATED, ROUNDS, busy, extension, main, spin


def run_all(bodies):
    pool = [threading.Thread(target=body) for body in bodies]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()


def foreign_threads():
    """Threads that Python did not start call it (PyGILState_Ensure) and leave pending calls."""
    libc = ctypes.CDLL(None)
    results = []
    pending = []

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    def body(_):
        local = threading.local()
        local.thing = [spin(30)]
        results.append(spin(50))

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
    def call(_):
        pending.append(threading.current_thread())
        return 0

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    def adder(_):
        for _ in range(5):
            while libc.Py_AddPendingCall(call, None) != 0:
                spin(3)

    with busy(2):
        for _ in range(ROUNDS):
            ids = []
            for function in (body, adder, body):
                ids.append(ctypes.c_ulong())
                assert libc.pthread_create(ctypes.byref(ids[-1]), None, function, None) == 0
            for thread in ids:
                assert libc.pthread_join(thread, None) == 0
        while len(pending) < 5 * ROUNDS:
            spin(10)
    assert results == [spin(50)] * (2 * ROUNDS), len(results)
    assert pending == [threading.main_thread()] * (5 * ROUNDS)


def mutex_of_an_extension():
    """An extension's mutex, taken and released in a section, is as good as without transactions."""
    unsafe_counter = extension("unsafe_counter")
    run_all([lambda: [unsafe_counter.guarded(5) for _ in range(10 * ROUNDS)]] * 4)
    assert unsafe_counter.guarded(0) == 200 * ROUNDS


def waits_in_a_critical_section():
    """Who lets threads run in a critical section has lost it meanwhile and gets it back."""
    unsafe_counter = extension("unsafe_counter")
    shared = []

    def body():
        for _ in range(10 * ROUNDS):
            unsafe_counter.append_twice(shared)
            spin(5)

    run_all([body] * 3)
    assert len(shared) == 60 * ROUNDS
    # Between the two elements of a pair others may come; before and behind the wait they may not.
    assert sorted(shared)[::30 * ROUNDS] == [1, 2]


def counts_seen_by_extensions():
    """What has two references never looks as if it had one: extensions change that in place."""
    unsafe_counter = extension("unsafe_counter")
    rounds = 100 * ROUNDS
    made = queue.SimpleQueue()
    seen = []

    def maker():
        for n in range(rounds):
            made.put([n])

    def user():
        for _ in range(rounds // 2):
            thing = made.get()
            alias = thing
            seen.append(unsafe_counter.references(thing))
            assert alias is thing

    pool = [threading.Thread(target=body) for body in (maker, user, user)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    assert len(seen) == rounds and min(seen) >= 2, (len(seen), min(seen))


def last_reference_dropped_elsewhere():
    """An object that another thread made dies when its last reference goes, not some time later."""
    class Thing:
        dead = 0

        def __del__(self):
            Thing.dead += 1

    things = []
    with busy(2):
        # After busy(): what a new thread owns depends on who had its place in memory before.
        run_all([lambda: things.extend(Thing() for _ in range(20 * ROUNDS))])
        for n in range(20 * ROUNDS):
            thing = things.pop()
            reference = weakref.ref(thing)
            del thing
            assert reference() is None and Thing.dead == n + 1, (n, Thing.dead)


def on_loan(function, *args, destructor=int):
    """Call a C function in a thread while a loan that it has is all that keeps an object alive."""
    lending = extension("lending")
    died = []
    values = []

    class Lent:
        def __del__(self):
            died.append(threading.get_ident())
            destructor()

    things = [Lent()]

    def user():
        with threading.RLock():
            pass  # a lock of C code, which it has no longer
        value = None if things else function(*args)
        while things:
            value = lending.last(things, function, *args)
        values.append(value)

    thread = threading.Thread(target=user, daemon=True)
    if not EMULATED:
        things.clear()  # without transactions there are no conflicts, and so no loans
    thread.start()
    while things:
        spin(5)
    thread.join(10)
    assert not thread.is_alive(), "it waits for ever"
    assert died == [thread.ident if EMULATED else threading.get_ident()], died
    return values[0]


def destructor_wants_what_its_thread_waits_for():
    """What dies because a thread is about to wait dies before that thread stands in the queue."""
    lending = extension("lending")
    held = threading.Event()
    dying = threading.Event()

    def holder():
        held.set()
        dying.wait()
        time.sleep(0.002)  # who waits for a mutex longer than one gets it when it is released

    def destructor():
        dying.set()
        lending.hold(int)

    thread = threading.Thread(target=lending.hold, args=(holder,), daemon=True)
    thread.start()
    held.wait()
    on_loan(lending.hold, int, destructor=destructor)
    thread.join()


def destructor_writes_where_its_thread_writes():
    """What dies because a thread lets others in while it writes to a file may write there, too."""
    errors = []
    sys.unraisablehook = errors.append
    with tempfile.TemporaryFile() as file:
        on_loan(file.write, bytes(100000), destructor=lambda: file.write(b"end"))
        assert not errors, errors
        file.seek(0)
        assert len(file.read()) == 100003


def destructor_uses_what_its_thread_uses():
    """The same for a compressor, which has a lock that a thread cannot take twice."""
    for kind in zlib.compressobj, bz2.BZ2Compressor, lzma.LZMACompressor:
        shared = kind()
        on_loan(shared.compress, bytes(1000), destructor=lambda: shared.compress(b"end"))


def thread_waits_for_a_destructor():
    """What dies because a thread is about to wait dies before it waits."""
    dead = threading.Lock()
    dead.acquire()
    on_loan(dead.acquire, destructor=dead.release)


def objects_the_collector_lists():
    """What nobody refers to is dead for who looks at all objects."""
    assert "Lent" not in [type(thing).__name__ for thing in on_loan(gc.get_objects)]


def destructors_that_set_the_count():
    """Such a destructor asks the count again at its end: no change of it waits anywhere."""
    from _testcapi import with_tp_del
    lending = extension("lending")

    @with_tp_del
    class Thing:
        dead = 0

        def __tp_del__(self):
            Thing.dead += 1
            if Thing.dead > 40:
                os.abort()  # it would go on for ever

    things = []
    known = 0
    with busy(2):
        run_all([lambda: things.extend(Thing() for _ in range(20))])
        for n in range(20):
            thing = things.pop()
            del thing
            # Our own, with a weak reference, where an object was before that the table knew.
            thing = Thing()
            reference = weakref.ref(thing)
            known += lending.touch(thing)
            del thing
            assert reference() is None
            assert Thing.dead == 2 * n + 2, (n, Thing.dead)
    assert Thing.dead == 40 and (known or not EMULATED), (Thing.dead, known)


def memory_others_may_read():
    """What a list was kept in is freed before long, though one thread alone wants the GIL."""
    shared = [0]
    seen = threading.Event()
    stop = threading.Event()

    def other():
        len(shared)
        shared.append(1)
        seen.set()
        stop.wait()

    thread = threading.Thread(target=other)
    thread.start()
    seen.wait()
    before = sys.getallocatedblocks()
    for _ in range(2000):
        shared.extend(range(50))
        del shared[1:]
    more = sys.getallocatedblocks() - before
    stop.set()
    thread.join()
    assert more < 1000, more


def lines_of_other_interpreters():
    """Lines of two interpreters are told apart: they count versions of code alike."""
    import _interpreters

    import elision
    names = ["first", "other"]
    for name in names:
        interp = _interpreters.create("isolated")
        _interpreters.run_string(interp, f"""def {name}():
                for _ in range(3000): pass
import threading
pair = [threading.Thread(target={name}) for _ in range(2)]
for thread in pair: thread.start()
for thread in pair: thread.join()""")
        _interpreters.destroy(interp)
    seen = {site["function"] for site in elision.stats()["sites"]}
    assert not elision.active() or seen.issuperset(names), seen


def figures_of_sites():
    """elision.stats() knows sites by function and line, and they add up to the totals."""
    import elision

    def looping():
        for _ in range(3000):
            pass

    first = looping.__code__.co_firstlineno
    name = looping.__qualname__
    run_all([looping] * 2)
    stats = elision.stats()
    mine = [site for site in stats["sites"] if site["function"] == name]
    for site in mine:
        assert site["line"] in range(first, first + 3), (first, site)
        assert site["site"] == f"{name} (lifecycle_c.py:{site['line']})", site
    assert not elision.active() or sum(site["commits"] for site in mine) > 0, stats
    for key in ["starts", "commits", "fallbacks"]:
        assert sum(site[key] for site in stats["sites"]) == stats[key], (key, stats)
    for reason, count in stats["aborts"].items():
        assert sum(site["aborts"][reason] for site in stats["sites"]) == count, (reason, stats)
    # A site whose sections all held the lock undisturbed is not known by name.
    assert sum(site["locked"] for site in stats["sites"]) <= stats["locked"], stats


class LooksAtFreedMemory:
    """Lets all other threads end and looks whether they wrote what was freed before."""

    def __init__(self):
        libc = ctypes.PyDLL(None)
        self.malloc, self.memset, self.memcmp = libc.malloc, libc.memset, libc.memcmp
        self.malloc.restype = ctypes.c_void_p
        self.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
        self.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        self.listdir, self.write, self.exit = os.listdir, os.write, os._exit

    def __del__(self):
        blocks = [self.malloc(1000) for _ in range(400)]
        for block in blocks:
            self.memset(block, 0xa5, 1000)
        while len(self.listdir("/proc/self/task")) > 1:
            pass
        if any(self.memcmp(block, blocks[0], 1000) for block in blocks):
            self.write(1, b"freed memory was written\n")
            self.exit(1)


def daemon_threads_wait_at_exit():
    """Thread states are freed while their threads wait for the GIL, which they get later."""
    global at_exit
    at_exit = LooksAtFreedMemory()
    started = threading.Barrier(5)

    def forever():
        started.wait()
        while True:
            spin(50)

    for _ in range(4):
        threading.Thread(target=forever, daemon=True).start()
    started.wait()
    # Holds the lock, so that they wait, and does not look up from that before the end.
    atexit.register([n * 7919 % 20011 for n in range(20011)].sort)


def fork_without_the_gil():
    """Elision is asked for and nothing needs the GIL: a child has none to let go."""
    assert not sys._is_gil_enabled()
    for _ in range(ROUNDS):
        pid = os.fork()
        if pid == 0:
            run_all([lambda: spin(50), lambda: spin(50)])
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0


def embedded():
    """To be run by every interpreter of a process that has one after the other."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    with busy(3):
        spin(500)
    print("ok", flush=True)


CASES = [foreign_threads, mutex_of_an_extension, waits_in_a_critical_section,
         counts_seen_by_extensions,
         last_reference_dropped_elsewhere, destructor_wants_what_its_thread_waits_for,
         destructor_writes_where_its_thread_writes,
         destructor_uses_what_its_thread_uses, thread_waits_for_a_destructor,
         objects_the_collector_lists, destructors_that_set_the_count, memory_others_may_read,
         lines_of_other_interpreters, figures_of_sites, daemon_threads_wait_at_exit,
         fork_without_the_gil]

if __name__ == "__main__":
    main(CASES)
