"""Worker processes that end with their parent."""

import multiprocessing
import multiprocessing.connection
import os
import threading
from concurrent.futures import ProcessPoolExecutor


def worker_pool(processes: int) -> ProcessPoolExecutor:
    """Start a pool of forked processes.

    Fork, not spawn: spawn would run the caller's main script again, such as a Snakemake rule's. The
    caller must not run threads yet (TensorFlow's, zarr's): a fork lacks them and may wait for one
    for ever.
    """
    context = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """End this worker when its parent is killed; otherwise it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
