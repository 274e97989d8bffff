"""Estimates on disk, so that a training that resumes does not make them again."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.estimates import Estimator
from decon3d.classical.richardson_lucy import FloatArray
from decon3d.files import digest, replacing
from decon3d.versions import VERSIONS


class KeptEstimates:
    """A folder of estimates, one file per image; files are named by all that decides them.

    Parameters
    ----------
    folder
        Made when the first estimate is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used: set[str] = set()

    def of(self, estimator: Estimator, *, psf_fingerprint: str) -> "_Keeping":
        """Return an estimator that reads what was kept, and keeps what it makes."""
        return _Keeping(self, estimator, psf_fingerprint)

    def load(self, name: str) -> FloatArray | None:
        """Read an estimate; None if there is none, or if it is damaged."""
        self._used.add(name)
        try:
            return np.load(self._folder / name)
        except (OSError, ValueError, EOFError):
            return None

    def save(self, name: str, estimate: FloatArray) -> None:
        """Write an estimate atomically."""
        with replacing(self._folder / name) as temporary, open(temporary, "wb") as stream:
            np.save(stream, estimate)

    def remove_others(self) -> None:
        """Remove the files of other images or settings."""
        for path in self._folder.glob("*.npy"):
            if path.name not in self._used:
                path.unlink()

    def remove(self) -> None:
        """Remove the folder: the training is finished."""
        shutil.rmtree(self._folder, ignore_errors=True)


class _Keeping:
    """An estimator whose results are kept."""

    def __init__(self, kept: KeptEstimates, estimator: Estimator, psf_fingerprint: str) -> None:
        self._kept, self._estimator = kept, estimator
        versions = {key: VERSIONS[key] for key in ("train", "prepare", "restore")}
        self._key = [repr(estimator.runs), psf_fingerprint, versions]

    @property
    def count(self) -> int:
        """Number of estimates."""
        return self._estimator.count

    def __call__(
        self,
        block: NDArray[Any],
        *,
        origin: tuple[int, int, int] = (0, 0, 0),
        out: FloatArray | None = None,
    ) -> FloatArray:
        """Estimate a block; see `Estimator`."""
        content = hashlib.sha256(np.ascontiguousarray(block).data).hexdigest()
        name = digest([*self._key, list(block.shape), str(block.dtype), content, origin]) + ".npy"
        found = self._kept.load(name)
        if found is None:
            found = self._estimator(block, origin=origin, out=out)
            self._kept.save(name, found)
        elif out is not None:
            out[:] = found
            found = out
        return found
