"""A folder of TIFF files with one plane each, as light sheets write them: one stack."""

import os
import re
from collections import Counter
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from decon3d.errors import UserError, reading
from decon3d.volumes.tiff_pages import check_chain, check_grey, check_pages, strict

_ENDINGS = (".tif", ".tiff")
_ZARR = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
_NUMBER = re.compile(r"(\d+)")
_OTHER_AXIS = re.compile(r"(?:^|[^a-z])(c|ch|channel|w|wave|wavelength|t|time|frame)[ _-]?$", re.I)
"""Text before a number that counts channels or time points."""


def plane_files(path: str | Path) -> list[str]:
    """List the planes of a folder in natural order (z2 before z10); none if it is an OME-Zarr.

    Raises
    ------
    UserError
        If an entry is not a file: a broken link would shorten the stack.
    """
    if not Path(path).is_dir() or any(Path(path, name).exists() for name in _ZARR):
        return []
    with os.scandir(path) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(_ENDINGS)
            and not entry.name.startswith(".")
            and _is_plane(entry)
        ]
    order = tifffile.natural_sorted(names)
    return [str(Path(path, name)) for name in order]


def _is_plane(entry: os.DirEntry[str]) -> bool:
    try:
        if entry.is_file() or entry.is_dir():
            return entry.is_file()
    except OSError:  # links in a circle
        pass
    raise UserError(
        f"{entry.path} is a link to a file that is missing, or a pipe; restore the file or remove "
        "the link"
    )


class Planes:
    """The stack (Z, Y, X), read a plane at a time; a plane that differs from the first is an error.

    Parameters
    ----------
    files
        From `plane_files`.
    any_names
        Whether to use the files' natural order without a check of their names.

    Raises
    ------
    UserError
        If a file does not hold a single plane of grey values, or cannot be read, or the names are
        not those of one sequence.
    """

    ndim = 3

    def __init__(self, files: list[str], *, any_names: bool = False) -> None:
        self._files = files
        first = self._plane(0)
        if not any_names:
            self._files = in_sequence(files)
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
                f"{self._files[number]} has {plane.shape} pixels (Y, X) of type {plane.dtype}, but "
                f"{self._files[0]} has {self.shape[1:]} of type {self.dtype}; give planes of one "
                "stack"
            )
        return plane

    def _plane(self, number: int) -> NDArray[Any]:
        name = self._files[number]
        with reading(name), strict(name), tifffile.TiffFile(name) as file:
            check_chain(name, file)
            page = file.pages.first
            if len(file.pages) > 1 or page.ndim != 2:
                raise UserError(
                    f"{name} is not a single plane of grey values; for a folder of volumes, give a "
                    "glob: folder/*.tif"
                )
            if not file.is_imagej:
                check_grey(name, page)
            check_pages(name, tifffile.TiffPageSeries([page], page.shape, page.dtype, "YX"))
            return np.asarray(page.asarray())


def in_sequence(files: list[str]) -> list[str]:
    """Sort the planes of one stack by the number in their names.

    Raises
    ------
    UserError
        If a name differs from the others in more than numbers, or a number is missing, or more
        than one number counts: two channels or time points in one folder.
    """
    if len(files) < 2:
        return files
    folder = str(Path(files[0]).parent)
    stems = {file: re.sub(r"(\.ome)?\.tiff?$", "", Path(file).name, flags=re.I) for file in files}
    patterns = {file: _NUMBER.sub("#", stem) for file, stem in stems.items()}
    counts = Counter(patterns.values())
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        odd = [Path(file).name for file, pattern in patterns.items() if pattern != usual]
        like = Path(next(f for f, pattern in patterns.items() if pattern == usual)).name
        raise UserError(
            f"{folder} is not one stack: {like} and {_some(odd)} have different name patterns; "
            "keep the planes of one channel and time point in a folder of their own"
        )
    parts = {file: _NUMBER.split(stem) for file, stem in stems.items()}
    fields = {
        i: {file: int(parts[file][i]) for file in files} for i in range(1, len(parts[files[0]]), 2)
    }
    varying = {i: values for i, values in fields.items() if len(set(values.values())) > 1}
    for i in [i for i in varying if i + 2 in varying and parts[files[0]][i + 1] == "."]:
        whole, decimals = varying.pop(i), varying.pop(i + 2)  # z0.9um, z1.2um: one number
        digits = {len(parts[file][i + 2]) for file in files}
        if len(digits) == 1:
            scale = 10 ** digits.pop()
            varying[i] = {file: whole[file] * scale + decimals[file] for file in files}
    counting = [i for i, values in varying.items() if len(set(values.values())) == len(files)]
    before = {i: parts[files[0]][i - 1] for i in varying}
    repeated = [i for i in varying if i not in counting]
    if not counting or _other_axes([varying[i] for i in repeated], [before[i] for i in repeated]):
        numbers = " and ".join(f"{before[i]}#" for i in varying) or "nothing"
        raise UserError(
            f"{folder} is not one stack: in the names of its files ({Path(files[0]).name} …) "
            f"{numbers} {'changes' if len(varying) < 2 else 'change'}; keep the planes of one "
            "channel and time point in a folder of their own"
        )
    # A time stamp also counts; the plane's number has the shortest range.
    field = min(counting, key=lambda i: (_range(varying[i]), -i))
    numbered = varying[field]
    other = _OTHER_AXIS.search(before[field])
    if other:
        raise UserError(
            f"{folder}: in the names of its files ({Path(files[0]).name} …) the number of "
            f"{before[field]}# looks like a channel or time point; if these are Z planes, give the "
            "dataset's axes: ZYX"
        )
    ordered = sorted(files, key=numbered.__getitem__)
    steps = {numbered[b] - numbered[a] for a, b in pairwise(ordered)}
    if len(steps) > 1:
        step = min(steps)
        a, b = next((a, b) for a, b in pairwise(ordered) if numbered[b] - numbered[a] != step)
        raise UserError(
            f"{folder}: no plane lies between {Path(a).name} and {Path(b).name} (number "
            f"{numbered[a] + step} is missing); copy it, or give the dataset's axes: ZYX if the "
            "stack is complete"
        )
    return ordered


def _other_axes(repeated: list[dict[str, int]], before: list[str]) -> bool:
    """Return whether repeated numbers, beside one that counts all files, are other axes."""
    if any(map(_OTHER_AXIS.search, before)):
        return True
    places = {tuple(values[file] for values in repeated) for file in next(iter(repeated), {})}
    cells = prod(len(set(values.values())) for values in repeated)
    return len(repeated) > 1 and len(places) == cells == len(repeated[0])


def _range(values: dict[str, int]) -> int:
    return max(values.values()) - min(values.values())


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
