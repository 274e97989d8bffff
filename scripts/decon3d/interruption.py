"""Being told to stop: SIGTERM comes before a time limit's end, and when a node is drained."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def told_to_stop() -> Iterator[Callable[[], bool]]:
    """Say whether SIGTERM came, instead of dying of it.

    SLURM sends it to all processes of a job step at the time limit, and kills them 30 s later
    (`KillWait`): long enough to save what was done.
    """
    came: list[int] = []
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: came.append(1)) if in_main_thread else None
    try:
        yield lambda: bool(came)
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)
