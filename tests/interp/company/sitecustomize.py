# SPDX-License-Identifier: MIT
"""A thread that comes and goes all the time, so that no test runs alone for long: a thread with
nobody beside it holds the lock.

It executes no bytecode, which some tests would notice. Found by site.py where PYTHONPATH names this
folder. Other interpreters than the main one could not end with such a thread.
"""
import _interpreters
import _thread
from _collections import deque
from posix import sched_yield


def come_and_go():
    deque(iter(sched_yield, True), maxlen=0)


if _interpreters.get_current()[0] == 0:
    _thread.start_new_thread(come_and_go, ())
