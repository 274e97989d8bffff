"""The thread pools of dask and zarr, limited to the job's threads."""

import os
import sys


def limit_pools(threads: int) -> None:
    """Limit dask and zarr to `threads` threads each, in this process and its children.

    Call it before the first array is read. (Numerical libraries get theirs from OMP_NUM_THREADS and
    the like, which Snakemake sets for each job, TensorFlow from `devices`.)
    """
    # Set before their import, which takes half a second and may never be needed.
    os.environ["DASK_NUM_WORKERS"] = str(threads)
    os.environ["ZARR_THREADING__MAX_WORKERS"] = str(threads)
    if "dask" in sys.modules:
        sys.modules["dask"].config.set(num_workers=threads)
    if "zarr" in sys.modules:
        sys.modules["zarr"].config.set({"threading.max_workers": threads})
