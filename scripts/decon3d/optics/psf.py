"""The PSF: its array, voxel size, record and files."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from decon3d.errors import DamagedError, reason
from decon3d.files import read_record, replacing, write_digests, write_record
from decon3d.optics.arrays import Floats, Triple, triple

COMPACT_EDGE = 1e-3
"""Share of the sum in an edge plane below which a PSF counts as compact."""
COMPANIONS = ("bead_measured", "bead_ideal", "beads")
"""Names of the images that may lie beside a PSF: the pair of a bead stack, and its beads."""


@dataclass(frozen=True)
class Companion:
    """An image that is stored beside a PSF.

    Attributes
    ----------
    data
        float32, axes Z Y X, or T Z Y X for several images of one size.
    voxel_size_um
        Voxel size (Z, Y, X), in µm.
    """

    data: NDArray[np.float32]
    voxel_size_um: Triple


@dataclass(frozen=True, repr=False)
class Psf:
    """A point spread function on the image's voxel grid.

    Attributes
    ----------
    data
        float32, axes Z Y X, odd sizes, sum 1; the core's centroid is in the middle voxel.
    voxel_size_um
        Voxel size (Z, Y, X), in µm.
    record
        Where it came from and what was done to it, JSON-able.
    companions
        Images to be stored beside it, by name (of `COMPANIONS`); not read again by `load_psf`.

    Raises
    ------
    ValueError
        If the array is not 3D, has an even size, holds NaN or negative values, or does not sum
        to 1.
    """

    data: NDArray[np.float32]
    voxel_size_um: Triple
    record: dict[str, Any] = field(default_factory=dict)
    companions: dict[str, Companion] = field(default_factory=dict)

    def __post_init__(self) -> None:
        data = self.data
        if data.dtype != np.float32 or data.ndim != 3 or any(n % 2 == 0 for n in data.shape):
            raise ValueError(
                "the PSF must be a float32 array (Z, Y, X) of odd sizes, not "
                f"{data.dtype} {data.shape}"
            )
        if not np.all(np.isfinite(data)) or data.min() < 0:
            raise ValueError("the PSF contains NaN, infinite or negative values")
        if abs(float(data.sum(dtype=np.float64)) - 1) > 1e-4:
            raise ValueError(f"the PSF sums to {data.sum(dtype=np.float64):g}, not to 1")

    def __repr__(self) -> str:
        shape, size = (
            " × ".join(f"{v:g}" for v in each) for each in (self.data.shape, self.voxel_size_um)
        )
        return f"<Psf: {shape} voxels (Z, Y, X) of {size} µm; the array is .data>"


def normalised_psf(data: Floats, voxel_size_um: Triple, record: dict[str, Any]) -> Psf:
    """Scale an array (ZYX, odd sizes, not negative) to the sum 1 and make it a `Psf`."""
    values = np.asarray(data, np.float64)
    scaled = np.ascontiguousarray(values / values.sum(), dtype=np.float32)
    return Psf(scaled, triple(voxel_size_um), record)


def half_width(psf: Psf) -> tuple[int, int, int]:
    """Return the support // 2 per axis (Z, Y, X), in voxels: how far the PSF reaches."""
    z, y, x = (n // 2 for n in psf.data.shape)
    return z, y, x


def is_compact(psf: Psf) -> bool:
    """Return whether every edge plane holds less than 0.1 % of the sum (not in widefield)."""
    total = psf.data.sum(dtype=np.float64)
    edges = [
        plane.sum(dtype=np.float64)
        for axis in range(3)
        for plane in (psf.data.take(0, axis), psf.data.take(-1, axis))
    ]
    return bool(max(edges) < COMPACT_EDGE * total)


def fingerprint(psf: Psf) -> str:
    """Hash shape, voxel size and values: 16 hexadecimal digits."""
    head = f"{psf.data.shape} {tuple(float(v) for v in psf.voxel_size_um)}"
    content = hashlib.sha256(head.encode())
    content.update(np.ascontiguousarray(psf.data, dtype="<f4").tobytes())
    return content.hexdigest()[:16]


def fwhm_um(data: Floats, voxel_size_um: Triple) -> Triple:
    """Measure the full widths at half maximum of the axis profiles through the peak.

    Parameters
    ----------
    data
        Axes Z Y X, any sizes; background removed. Taken as 0 outside.
    voxel_size_um
        Voxel size (Z, Y, X), in µm.

    Returns
    -------
    tuple of float
        Widths along Z, Y, X, in µm, by cubic interpolation between voxels.
    """
    peak = np.unravel_index(int(np.argmax(data)), data.shape)
    profiles = (data[:, peak[1], peak[2]], data[peak[0], :, peak[2]], data[peak[0], peak[1], :])
    return triple(v * _profile_width(p) for v, p in zip(voxel_size_um, profiles, strict=True))


def _profile_width(profile: Floats) -> float:
    """Width at half maximum of a profile, in samples."""
    from scipy.interpolate import CubicSpline  # a quarter of a second, in every job otherwise

    padded = np.pad(np.asarray(profile, np.float64), 3)
    spline = CubicSpline(np.arange(len(padded)), padded)
    top = int(padded.argmax())
    extrema = spline.derivative().roots(extrapolate=False)
    near = extrema[np.abs(extrema - top) <= 1]
    summit = near[np.argmax(spline(near))] if near.size else float(top)
    crossings = spline.solve(float(spline(summit)) / 2, extrapolate=False)
    return float(crossings[crossings > summit].min() - crossings[crossings < summit].max())


def save_psf(psf: Psf, path_tif: str | Path) -> None:
    """Write a PSF as ImageJ TIFF (float32, ZYX, with voxel size) and its record beside it.

    Parameters
    ----------
    psf
        What to write.
    path_tif
        Path of the TIFF; the record gets the same name with `.json`, companions lie beside it as
        `<name>.tif`. Companions of an earlier PSF are deleted.
    """
    path = Path(path_tif)
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in COMPANIONS:
        path.with_name(f"{name}.tif").unlink(missing_ok=True)
    for name, companion in psf.companions.items():
        write_imagej(path.with_name(f"{name}.tif"), companion.data, companion.voxel_size_um)
    write_imagej(path, psf.data, psf.voxel_size_um)
    write_record(path.with_suffix(".json"), description(psf))
    companions = [path.with_name(f"{name}.tif") for name in psf.companions]
    write_digests([path, path.with_suffix(".json"), *companions])


def write_imagej(path: Path, data: NDArray[np.float32], voxel_size_um: Triple) -> None:
    """Write an ImageJ TIFF (float32, axes Z Y X or T Z Y X; voxel size Z, Y, X in µm)."""
    dz, dy, dx = voxel_size_um
    with replacing(path) as temporary:
        tifffile.imwrite(
            temporary,
            data,
            imagej=True,
            resolution=(1 / dx, 1 / dy),
            metadata={"axes": "TZYX"[-data.ndim :], "spacing": dz, "unit": "um"},
        )


def description(psf: Psf) -> dict[str, Any]:
    """Return the content of psf.json: the record and the PSF's own numbers."""
    return {
        **psf.record,
        "axes": "ZYX",
        "voxel_size_um": list(psf.voxel_size_um),
        "shape": list(psf.data.shape),
        "half_width": list(half_width(psf)),
        "compact": is_compact(psf),
        "fwhm_um": [round(width, 5) for width in fwhm_um(psf.data, psf.voxel_size_um)],
        "fingerprint": fingerprint(psf),
    }


def load_psf(path_tif: str | Path) -> Psf:
    """Read what `save_psf` wrote.

    Raises
    ------
    DamagedError
        If a file is missing or damaged, or TIFF and record do not belong together.
    """
    path = Path(path_tif)
    beside = path.with_suffix(".json")
    record = read_record(beside, beside=[path])
    if not path.is_file():
        raise DamagedError(path, f"is missing beside {beside.name}", files=[beside])
    try:
        data = tifffile.imread(path)
    except Exception as error:  # of tifffile, its codecs or struct
        raise DamagedError(path, f"cannot be read: {reason(error)}", files=[beside]) from None
    shape = record["shape"]
    if list(data.squeeze().shape) == [n for n in shape if n > 1]:  # tifffile drops axes of length 1
        data = data.reshape(shape)
    if list(data.shape) != shape:
        raise DamagedError(path, f"does not have the shape {record['shape']}", files=[beside])
    try:
        psf = Psf(data, triple(record["voxel_size_um"]), record)
    except ValueError as error:
        raise DamagedError(path, f"is damaged: {error}", files=[beside]) from None
    if fingerprint(psf) != record["fingerprint"]:
        raise DamagedError(
            path, f"is not the PSF that {beside.name} describes (fingerprint)", files=[beside]
        )
    return psf
