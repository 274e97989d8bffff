"""SIGTERM: handlers that take locks."""

import signal
import threading

from decon3d.signals import handle_sigterm_in_a_thread


def test_a_handler_may_wait_for_a_lock_that_the_main_thread_holds():
    before = signal.getsignal(signal.SIGTERM)
    lock, done = threading.Lock(), threading.Event()

    def handler(*_):
        if lock.acquire(timeout=10):
            done.set()

    try:
        signal.signal(signal.SIGTERM, handler)
        handle_sigterm_in_a_thread()
        with lock:
            signal.raise_signal(signal.SIGTERM)
            assert not done.wait(0.05)
        assert done.wait(5)
    finally:
        signal.signal(signal.SIGTERM, before)
