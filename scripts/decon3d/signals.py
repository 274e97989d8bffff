"""SIGTERM, sent before a job's time limit and when a node is drained."""

import contextlib
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
