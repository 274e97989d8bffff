"""Work on an array slab by slab, in threads.

One pass over a volume of hundreds of megabytes is bound by memory, not by arithmetic. Work that
goes through slabs of the size of a cache, several operations per slab, needs no volume-sized
temporaries and is faster; NumPy and SciPy release the interpreter lock meanwhile, so that threads
share the slabs. A GPU has the bandwidth, but pays for every call: it takes the array whole.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

SLAB_BYTES = 2**20


class Slabs:
    """Cuts an axis into slabs and runs work on them.

    Parameters
    ----------
    threads
        Threads that share the slabs.
    whole
        Make one slab of everything.
    """

    def __init__(self, threads: int = 1, *, whole: bool = False) -> None:
        self.threads = threads
        self.whole = whole
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def run(
        self, work: Callable[[slice], None], *, length: int, item_bytes: int, least: int = 1
    ) -> None:
        """Call `work(slab)` for slabs that together are 0 … length; return when all are done.

        Parameters
        ----------
        work
            Called with slices of the axis; calls may run at the same time.
        length
            Length of the axis.
        item_bytes
            Bytes behind one index of the axis; slabs hold about a megabyte.
        least
            Smallest number of indices per slab (where neighbours of a slab are read twice).
        """
        step = length if self.whole else max(least, SLAB_BYTES // max(item_bytes, 1), 1)
        slabs = [slice(start, min(start + step, length)) for start in range(0, length, step)]
        if self._pool is None:
            for slab in slabs:
                work(slab)
        else:
            list(self._pool.map(work, slabs))
