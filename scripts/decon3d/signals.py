"""SIGTERM, sent before a job's time limit and when a node is drained; the stack of handlers."""

import contextlib
import ctypes
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def catch_sigterm() -> Iterator[Callable[[], bool]]:
    """Catch SIGTERM and yield a function that tells whether it came.

    SLURM sends it to all processes of a job step at the time limit, and kills them 30 s later
    (`KillWait`), which is enough time to save the state.
    """
    came: list[int] = []
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: came.append(1)) if in_main_thread else None
    try:
        yield lambda: bool(came)
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)


def handle_sigterm_in_a_thread() -> None:
    """Run the present handler of SIGTERM in its own thread from now on.

    A handler interrupts the main thread wherever it is. If it then waits for a lock that the main
    thread holds, both wait for ever; in a thread, it waits until the lock is free.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if callable(handler):

        def start(number: int, _frame: object) -> None:
            threading.Thread(target=handler, args=(number, None), daemon=True).start()

        signal.signal(signal.SIGTERM, start)


@contextlib.contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Put back the stack of this thread's signal handlers that code in this context replaces.

    OpenVINO's CPU plugin sets a stack of its own (`sigaltstack`). If several plugins end in another
    order than they began, the memory is free, but still in use as the stack: the next signal, such
    as SIGTERM, then ends the process by a segmentation fault.
    """
    function = getattr(ctypes.CDLL(None), "sigaltstack", None)
    before = ctypes.create_string_buffer(64)  # stack_t, whatever the order of its fields
    known = function is not None and function(None, before) == 0
    try:
        yield
    finally:
        if function is not None and known:
            function(before, None)
