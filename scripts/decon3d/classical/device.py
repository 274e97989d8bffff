"""Where an iteration runs: on the CPU with NumPy and SciPy, or on a GPU with CuPy.

CuPy's arrays answer NumPy's functions, so that the iterations are written once. What differs is
here: which module makes arrays, which transforms them, and how they get there and back.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft

from decon3d.errors import UserError

PLANS = 8
"""Plans of cuFFT that are kept, with their work space: those of one `Blur`."""


@dataclass(frozen=True)
class Device:
    """A place to compute.

    Code for any device calls NumPy's functions on arrays that it is given and `xp` for new ones,
    and keeps to what CuPy knows: no `where=` in ufuncs, host and device arrays never mixed, and
    no single values read in a loop.
    """

    name: str
    """In words, for records."""
    xp: Any
    """The arrays' module: NumPy, or one like it with `asarray` and `asnumpy`."""
    fft: Any
    """The transforms' module: scipy.fft, or one like it."""

    @property
    def is_host(self) -> bool:
        """Say whether arrays of this device are NumPy's."""
        return self.xp is np

    def put(self, array: Any) -> Any:
        """Bring a NumPy array here; None stays None."""
        return array if self.is_host or array is None else self.xp.asarray(array)

    def get(self, array: Any) -> Any:
        """Bring an array of this device to NumPy; on the CPU, it is itself."""
        return array if self.is_host else self.xp.asnumpy(array)


CPU = Device("cpu", np, fft)


def gpu() -> Device:
    """Return the first visible GPU.

    Raises
    ------
    UserError
        If CuPy cannot be imported or sees no GPU: the CPU is never taken in its place.
    """
    try:
        import cupy
        from cupyx.scipy import fft as cupy_fft
    except ImportError as error:
        raise UserError(
            "device: gpu needs CuPy, which cannot be imported here "
            f"({type(error).__name__}); install the extra `cupy` (envs/gpu.lock.txt, or "
            "`pip install '.[cupy]'` in the clone), or set device: cpu"
        ) from None
    try:
        properties = cupy.cuda.runtime.getDeviceProperties(0)
    except RuntimeError as error:  # CuPy's errors of the CUDA runtime
        raise UserError(
            f"device: gpu: CuPy {cupy.__version__} finds no GPU ({error}); check the driver "
            "(nvidia-smi), CUDA_VISIBLE_DEVICES and the job's GPU (`gpu: 1` in the profile), or "
            "set device: cpu"
        ) from None
    cupy.fft.config.get_plan_cache().set_size(PLANS)
    return Device(properties["name"].decode(), cupy, cupy_fft)
