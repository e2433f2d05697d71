# SPDX-License-Identifier: MIT
"""One thread that waits for ever, so that no test runs alone: sections of one thread take the lock.

Found by site.py where PYTHONPATH names this folder. Other interpreters than the main one could not
end with such a thread.
"""
import _interpreters
import _thread

if _interpreters.get_current()[0] == 0:
    _never = _thread.allocate_lock()
    _never.acquire()
    _thread.start_new_thread(_never.acquire, ())
