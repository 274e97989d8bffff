"""A folder of TIFF files with one plane each, as light sheets write them: one stack."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from decon3d.errors import UserError

_ENDINGS = (".tif", ".tiff")
_OME_ZARR = ("zarr.json", ".zarray", ".zattrs", ".zgroup")


def plane_files(path: str | Path) -> list[str]:
    """List the planes of a folder in natural order (z2 before z10); none if it is an OME-Zarr."""
    if not Path(path).is_dir() or any(Path(path, name).exists() for name in _OME_ZARR):
        return []
    with os.scandir(path) as entries:
        names = [e.name for e in entries if e.name.lower().endswith(_ENDINGS) and e.is_file()]
    order = tifffile.natural_sorted(name for name in names if not name.startswith("."))
    return [str(Path(path, name)) for name in order]


class Planes:
    """The stack (Z, Y, X), read a plane at a time; a plane unlike the first is refused then.

    Parameters
    ----------
    files
        From `plane_files`.

    Raises
    ------
    UserError
        If a file holds no single plane of grey values, or cannot be read.
    """

    ndim = 3

    def __init__(self, files: list[str]) -> None:
        self._files = files
        first = self._plane(0)
        self.dtype = first.dtype
        self.shape = (len(files), *first.shape)
        self.chunks = (1, *first.shape)

    def __getitem__(self, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        sizes = [len(range(*s.indices(n))) for s, n in zip(region, self.shape, strict=True)]
        values = np.empty(sizes, self.dtype)
        for row, number in enumerate(range(*region[0].indices(self.shape[0]))):
            values[row] = self._like_first(number)[region[1:]]
        return values

    def _like_first(self, number: int) -> NDArray[Any]:
        plane = self._plane(number)
        if (plane.shape, plane.dtype) != (self.shape[1:], self.dtype):
            raise UserError(
                f"{self._files[number]} is a plane of {plane.shape} {plane.dtype} (Y, X), but "
                f"{self._files[0]} of {self.shape[1:]} {self.dtype}; a folder is one stack"
            )
        return plane

    def _plane(self, number: int) -> NDArray[Any]:
        name = self._files[number]
        try:
            with tifffile.TiffFile(name) as file:
                page = file.pages[0]
                if len(file.pages) > 1 or page.ndim != 2:
                    raise UserError(
                        f"{name} is not a single plane of grey values; a folder is one stack of "
                        "such files (volumes of their own are listed by a glob: folder/*.tif)"
                    )
                return np.asarray(page.asarray())
        except (OSError, ValueError, RuntimeError, tifffile.TiffFileError) as error:
            raise UserError(f"{name} cannot be read: {error}") from None
