"""Deconvolution from Python: make a PSF, deconvolve an array, restore a file.

These functions take the steps of the workflow's rules, in one process and with the same library
functions. Background, start, camera and iterations are therefore chosen as the workflow chooses
them, and the restored voxels are the same.
"""

from __future__ import annotations  # `help` shows `ArrayLike`, not the list of its types

import contextlib
import inspect
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decon3d.errors import ConfigError, UserError
from decon3d.logs import log
from decon3d.one_volume import KEY, NAME, restore_volume
from decon3d.optics import build
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.restoration.finish import export_ome_tiff
from decon3d.settings import Settings, load_settings
from decon3d.user_paths import check_output
from decon3d.volumes.checked_stores import open_array
from decon3d.volumes.metadata import in_words
from decon3d.volumes.volume import Triple
from decon3d.volumes.writer import create_level, default_chunk, write_metadata

SAME_GRID = 1.01
"""Ratio up to which the voxel sizes of image and PSF are the same."""
ENDINGS = (".ome.zarr", ".ome.tif", ".ome.tiff")
_ANY_OPTICS = {"modality": "widefield", "numerical_aperture": 1.0}
"""Valid optics for settings that do not use them."""
_FROM_FILE = ", or let decon3d.make_psf(measured={'source': 'file', 'path': …}) clean a file"


def make_psf(
    *,
    modality: str,
    numerical_aperture: float,
    emission_um: float,
    voxel_size_um: Sequence[float],
    excitation_um: float | None = None,
    immersion_index: float | None = None,
    sample_index: float | None = None,
    depth_um: float | None = None,
    pinhole_au: float | None = None,
    sheet_thickness_um: float | None = None,
    sted: Mapping[str, float] | None = None,
    aberrations: Mapping[str, float] | None = None,
    model: str | None = None,
    measured: Mapping[str, Any] | None = None,
) -> Psf:
    """Make a point spread function on the voxel grid of an image.

    Arguments that are None have the defaults of the config (config/README.md).

    Parameters
    ----------
    modality
        `widefield`, `confocal`, `two_photon`, `light_sheet` or `sted`.
    numerical_aperture
        Numerical aperture of the detecting objective.
    emission_um
        Wavelength of the emission peak, in µm.
    voxel_size_um
        Voxel size of the image (Z, Y, X), in µm.
    excitation_um
        Wavelength of the excitation, in µm.
    immersion_index
        Refractive index of the immersion.
    sample_index
        Refractive index of the specimen's medium.
    depth_um
        Depth of the imaged structures below the coverslip, in µm.
    pinhole_au
        Confocal and STED: pinhole diameter in Airy units.
    sheet_thickness_um
        Light sheet: full width at half maximum of the sheet, in µm.
    sted
        STED: `depletion_um` and `saturation_factor`.
    aberrations
        Zernike aberrations by name, each an RMS in waves.
    model
        `vectorial` or `scalar` diffraction.
    measured
        A measured PSF in place of theory, as the config's section `psf`:
        `{"source": "file", "path": …}` or
        `{"source": "beads", "path": …, "bead_diameter_um": …}`.

    Returns
    -------
    Psf
        `data` (float32, axes Z Y X, odd sizes, sum 1), `voxel_size_um`, and a `record` of how it
        was made.

    Raises
    ------
    UserError
        If a value is wrong, or a measured PSF contradicts the optics.

    Examples
    --------
    >>> import decon3d
    >>> psf = decon3d.make_psf(
    ...     modality="confocal", numerical_aperture=1.2, immersion_index=1.333,
    ...     emission_um=0.525, voxel_size_um=(0.3, 0.1, 0.1),
    ... )
    >>> psf.data.dtype, round(float(psf.data.sum()), 3)
    (dtype('float32'), 1.0)
    """
    optics = {
        "modality": modality,
        "numerical_aperture": numerical_aperture,
        "immersion_index": immersion_index,
        "sample_index": sample_index,
        "depth_um": depth_um,
        "pinhole_au": pinhole_au,
        "sheet_thickness_um": sheet_thickness_um,
        "sted": sted,
        "aberrations": aberrations,
        "model": model,
    }
    channel = {"emission_um": emission_um, "excitation_um": excitation_um, "psf": measured}
    with _own_names():
        settings = _settings(
            dataset={
                "voxel_size_um": voxel_size_um,
                "optics": _given(optics),
                "channels": {NAME: _given(channel)},
            }
        )
        dataset = settings.datasets[NAME]
        assert dataset.voxel_size_um is not None
        return build.make_psf(
            optics=dataset.optics,
            channel=dataset.channels[NAME],
            voxel_size_um=dataset.voxel_size_um,
            key=f"{KEY}.channels.{NAME}.psf",
        )


def deconvolve(
    image: ArrayLike,
    *,
    psf: Psf | ArrayLike | None = None,
    optics: Mapping[str, Any] | None = None,
    voxel_size_um: Sequence[float] | None = None,
    method: str | Mapping[str, Any] = "rl",
    camera: Mapping[str, Any] | None = None,
    no_data: str | float = "auto",
    memory_gb: float | None = None,
    threads: int | None = None,
    gpus: int = 0,
    seed: int = 1,
) -> NDArray[np.float32]:
    """Deconvolve one volume: undo the blur of the microscope.

    A small example, for an `image` (NumPy array, axes Z Y X) of a confocal microscope::

        psf = decon3d.make_psf(
            modality="confocal", numerical_aperture=1.2, immersion_index=1.333,
            emission_um=0.525, voxel_size_um=(0.3, 0.1, 0.1),
        )
        restored = decon3d.deconvolve(image, psf=psf)

    Parameters
    ----------
    image
        Counts, axes Z Y X, any integer or floating point type. NaN, infinite and masked voxels have
        no data.
    psf
        From `make_psf`, or an array (Z Y X, odd sizes, centred, background removed) on the grid of
        the image.
    optics
        Instead of `psf`: the arguments of `make_psf` except the voxel size, as a dictionary.
    voxel_size_um
        Voxel size of the image (Z, Y, X), in µm; needed with `optics` or a PSF that is an array.
    method
        A kind of method with its defaults, or a method as in the config, e.g.
        `{"kind": "rltv", "iterations": 30, "tv_weight": 0.002}` or
        `{"bundle": "folder of a trained network"}`. The iterations of `rl` (Richardson-Lucy) are
        chosen from the image. `rltv` and others are tuned on phantoms, in a minute or more.
    camera
        As in the config: `offset` (counts), `gain` (counts per photon), `read_noise` (photons),
        `bits`. Missing values are estimated from the image.
    no_data
        Value of voxels without data. `auto` finds it; `none`: all voxels have data.
    memory_gb
        Memory for a block, in GB; None = the default of the config. Larger images are restored
        block by block, on disk.
    threads
        CPU threads; None = all that this process may use.
    gpus
        GPUs to use.
    seed
        Seed of all random number generators.

    Returns
    -------
    array (Z Y X), float32
        Restored counts, background included.

    Raises
    ------
    UserError
        If an argument is wrong, the image is not a volume, or the method is an untrained network.

    Examples
    --------
    >>> import decon3d
    >>> import numpy as np
    >>> psf = decon3d.make_psf(
    ...     modality="confocal", numerical_aperture=1.2, immersion_index=1.333,
    ...     emission_um=0.525, voxel_size_um=(0.3, 0.1, 0.1),
    ... )
    >>> image = np.full((12, 32, 32), 110, np.uint16)
    >>> image[4:8, 12:20, 12:20] = 600
    >>> restored = decon3d.deconvolve(
    ...     image, psf=psf, camera={"offset": 100, "gain": 1, "read_noise": 1}
    ... )
    >>> restored.shape, restored.dtype
    ((12, 32, 32), dtype('float32'))
    """
    if isinstance(image, np.ma.MaskedArray):
        kept = image.astype(np.result_type(image, np.float32))
        image = np.ma.filled(kept, np.nan)
    if isinstance(image, str | os.PathLike):
        raise UserError(
            f"image: {os.fspath(image)} is a path; use decon3d.restore, or read the file"
        )
    values = np.asarray(image)
    if values.ndim != 3 or values.dtype.kind not in "iuf" or 0 in values.shape:
        one = "; of several channels or times, give one, e.g. image[:, 0]" * (values.ndim > 3)
        raise UserError(
            f"image: the array has the shape {values.shape} and the type {values.dtype}; give a "
            f"volume with the axes Z, Y, X, of integers or floating point numbers{one}"
        )
    if values.shape[0] > max(values.shape[1:]):
        log.warning(
            "image: its first axis (Z) has %d voxels, more than Y and X have; if Z is not the "
            "first axis, move it there: np.moveaxis(image, -1, 0) if it is the last",
            values.shape[0],
        )
    psfs = _psfs_of(psf, optics)
    if voxel_size_um is None and isinstance(psf, Psf):
        voxel_size_um = psf.voxel_size_um
    if voxel_size_um is None:
        raise UserError(
            "voxel_size_um is missing; give (Z, Y, X) in µm, or a PSF from decon3d.make_psf"
        )
    with tempfile.TemporaryDirectory(prefix="decon3d_") as folder, _own_names(folder):
        settings = _settings(
            method=method,
            camera=camera,
            memory_gb=memory_gb,
            seed=seed,
            dataset={"voxel_size_um": voxel_size_um, "no_data": no_data},
        )
        size = settings.datasets[NAME].voxel_size_um
        assert size is not None
        source = Path(folder) / f"{NAME}.ome.zarr"
        _write_volume(source, values, size)
        plan, _ = restore_volume(
            str(source),
            settings=settings,
            psfs=psfs,
            channels=None,
            folder=Path(folder),
            threads=_threads(threads),
            gpus=gpus,
        )
        restored: Any = open_array(plan.volumes[0].store, "0")
        return np.asarray(restored[0, 0], np.float32)


def restore(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    psf: Psf | ArrayLike | Sequence[Psf | ArrayLike] | None = None,
    optics: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    channels: Sequence[int] | None = None,
    times: Sequence[int] | None = None,
    voxel_size_um: Sequence[float] | None = None,
    method: str | Mapping[str, Any] = "rl",
    camera: Mapping[str, Any] | None = None,
    no_data: str | float = "auto",
    series: int | str | None = None,
    axes: str | None = None,
    output_dtype: str = "float32",
    memory_gb: float | None = None,
    threads: int | None = None,
    gpus: int = 0,
    seed: int = 1,
) -> Path:
    """Restore a file of any size, with all its channels and time points.

    A small example, with the PSF of `make_psf` for the voxel size of the file::

        decon3d.restore("cells.tif", "cells_restored.ome.tif", psf=psf)

    Parameters
    ----------
    path
        TIFF, OME-TIFF, OME-Zarr, or a folder of planes. It is never written to.
    out
        The restored volume, which must not exist yet: `….ome.zarr` (OME-Zarr 0.5 with a pyramid)
        or `….ome.tif` (BigTIFF with a pyramid). It appears when it is complete.
    psf
        As for `deconvolve`, for the voxel size of the file; a list of them for a file with several
        channels.
    optics
        Instead of `psf`; a list for a file with several channels.
    channels
        Positions on the channel axis to restore, from 0; None = all.
    times
        Time points to restore, from 0; None = all.
    voxel_size_um
        Voxel size (Z, Y, X), in µm; None = that of the file.
    series
        Name or number (from 0) of the image in a file that contains several; None = the only one.
    axes
        Axes of the file, slowest first, e.g. `TZCYX`; None = from its metadata.
    output_dtype
        `float32`, or `input`: rounded and clipped to the type of the file.
    method, camera, no_data, memory_gb, threads, gpus, seed
        As for `deconvolve`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    UserError
        As for `deconvolve`; or if `out` exists, or the file cannot be read.

    Examples
    --------
    >>> import decon3d, tempfile, tifffile
    >>> import numpy as np
    >>> folder = tempfile.mkdtemp()
    >>> image = np.full((12, 32, 32), 110, np.uint16)
    >>> image[4:8, 12:20, 12:20] = 600
    >>> tifffile.imwrite(f"{folder}/a.tif", image, metadata={"axes": "ZYX"})
    >>> out = decon3d.restore(
    ...     f"{folder}/a.tif", f"{folder}/a.ome.zarr", voxel_size_um=(0.3, 0.1, 0.1),
    ...     optics={"modality": "confocal", "numerical_aperture": 1.2, "emission_um": 0.525},
    ...     camera={"offset": 100, "gain": 1, "read_noise": 1},
    ... )
    >>> out.name
    'a.ome.zarr'
    """
    target = Path(out)
    check_output(target, endings=ENDINGS)
    source = os.fspath(path)
    if not os.path.exists(source):
        raise UserError(f"path: {source} does not exist; check the path")
    # Beside the target, so that the finished volume is renamed and not copied.
    with (
        tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder,
        _own_names(),
    ):
        settings = _settings(
            method=method,
            camera=camera,
            memory_gb=memory_gb,
            seed=seed,
            dataset={
                "voxel_size_um": voxel_size_um,
                "no_data": no_data,
                "times": times,
                "series": series,
                "axes": axes,
            },
            output_dtype=output_dtype,
        )
        plan, record = restore_volume(
            source,
            settings=settings,
            psfs=_psfs_of(psf, optics),
            channels=None if channels is None else _plain(channels),
            folder=Path(folder),
            threads=_threads(threads),
            gpus=gpus,
        )
        made = Path(plan.volumes[0].store)
        if not target.name.endswith(".ome.zarr"):
            made = export_ome_tiff(plan, plan.volumes[0], record)
        os.rename(made, target)
    return target


def _settings(
    *,
    dataset: Mapping[str, Any],
    method: str | Mapping[str, Any] = "rl",
    camera: Mapping[str, Any] | None = None,
    seed: int = 1,
    **restoration: Any,
) -> Settings:
    """Validate arguments as the config of one dataset with one method."""
    chosen = {"kind": method} if isinstance(method, str) else method
    _check_method(chosen)
    name = str(chosen.get("kind", "bundle")) if isinstance(chosen, Mapping) else "method"
    if not re.fullmatch(r"[a-z_]+", name):  # no kind, but the config says that best
        name = "method"
    config = {
        "seed": seed,
        "datasets": {
            NAME: {
                "volumes": os.curdir,  # not read
                "optics": _ANY_OPTICS,
                "channels": {NAME: {"emission_um": 0.5}},
                "camera": {} if camera is None else camera,
                **dataset,
            }
        },
        "methods": {name: chosen},
        "restoration": _given(restoration),
    }
    return load_settings(_plain(config))


def _check_method(method: Any) -> None:
    """Refuse a mapping that does not say which method it is."""
    if not isinstance(method, Mapping) or {"kind", "bundle"} & set(method):
        return
    example = {"kind": "rl", **method}
    if len(method) == 1 and isinstance(next(iter(method.values())), Mapping | None):
        ((kind, keys),) = method.items()  # as in `methods` of a config
        example = {"kind": kind, **(keys or {})}
    raise UserError(
        f"method: {dict(method)} has no `kind`; give e.g. {example}, or the name of a method alone"
    )


@contextlib.contextmanager
def _own_names(folder: str | None = None) -> Iterator[None]:
    """Name arguments in messages, not keys of a config or files that the caller never saw.

    Parameters
    ----------
    folder
        Holds the image as a file.
    """
    try:
        yield
    except UserError as error:
        problems = error.problems if isinstance(error, ConfigError) else [str(error)]
        text = "; ".join(problems)
        for prefix in (f"{KEY}.channels.{NAME}.", f"{KEY}.", "restoration."):
            text = text.replace(prefix, "")
        text = text.replace(f"{KEY}:", f"{NAME}:").replace(f"{folder}/{NAME}.ome.zarr", NAME)
        raise UserError(re.sub(r"\bmethods\.[\w-]+", "method", text)) from None


def _psfs_of(psf: Any, optics: Any) -> Callable[[Triple, int], list[Psf]]:
    """Return what makes the PSFs of some channels on a voxel grid."""
    if (psf is None) == (optics is None):
        raise UserError("give exactly one of `psf` and `optics`, e.g. psf=decon3d.make_psf(…)")
    what = "psf" if optics is None else "optics"
    given = psf if optics is None else optics
    several = list(given) if isinstance(given, list | tuple) else [given]
    for one in several:
        if isinstance(one, str | os.PathLike):
            usable = f"an array{_FROM_FILE}" if what == "psf" else "the arguments of make_psf"
            raise UserError(f"{what}: {os.fspath(one)} is a path; give {usable}")

    def make(size: Triple, count: int) -> list[Psf]:
        if len(several) != count:
            raise UserError(
                f"{what}: got {len(several)} for {count} channels; give a list with one for each, "
                "or choose channels with `channels`"
            )
        if optics is None:
            return [_on_grid(one, size) for one in several]
        for one in several:
            try:
                inspect.signature(make_psf).bind(voxel_size_um=size, **one)
            except TypeError as error:
                raise UserError(f"optics: {error}; give the arguments of make_psf") from None
        return [make_psf(voxel_size_um=size, **one) for one in several]

    return make


def _on_grid(psf: Psf | ArrayLike, size: Triple) -> Psf:
    """Take a PSF on the grid of the image, as it is."""
    if isinstance(psf, Psf):
        ratios = [a / b for a, b in zip(psf.voxel_size_um, size, strict=True)]
        if max(*ratios, *(1 / r for r in ratios)) > SAME_GRID:
            raise UserError(
                f"psf: the PSF has voxels of {in_words(psf.voxel_size_um)}, but the image of "
                f"{in_words(size)}; make the PSF for the voxel size of the image"
            )
        return psf
    data = np.asarray(psf)
    usable = data.ndim == 3 and data.dtype.kind in "iuf" and all(n % 2 for n in data.shape)
    if not usable or not np.isfinite(data).all() or data.min() < 0 or not data.any():
        raise UserError(
            f"psf: an array of the shape {data.shape} and the type {data.dtype} cannot be used; "
            "give an array with the axes Z, Y, X, of odd sizes, with a positive sum, and without "
            f"NaN, infinite or negative values{_FROM_FILE}"
        )
    peak = np.unravel_index(int(np.argmax(data)), data.shape)
    if any(abs(int(p) - n // 2) > 1 for p, n in zip(peak, data.shape, strict=True)):
        middle = tuple(n // 2 for n in data.shape)
        raise UserError(
            f"psf: its maximum is at {tuple(map(int, peak))} (Z, Y, X), not in the middle "
            f"{middle}; centre it{_FROM_FILE}"
        )
    return normalised_psf(data, size, {"source": "array"})


def _write_volume(store: Path, values: NDArray[Any], size: Triple) -> None:
    """Write an array (Z, Y, X) as an OME-Zarr without a pyramid."""
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    z, y, x = values.shape
    level = create_level(
        store, shape=(1, 1, z, y, x), dtype=native.dtype, chunk=default_chunk((z, y, x))
    )
    level[0, 0] = native
    write_metadata(
        store,
        name=NAME,
        factors=[(1, 1, 1)],
        windows=[(0.0, 65535.0)],
        voxel_size_um=size,
        channel_names=["channel 0"],
    )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what is None, so that the defaults of the config hold."""
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    """Convert mappings, sequences and NumPy's arrays and numbers to those of a parsed YAML."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _threads(wanted: int | None) -> int:
    """Return the wanted CPU threads; None = as many as this process may use."""
    if wanted is not None and wanted < 1:
        raise UserError(f"threads: must be at least 1, not {wanted}")
    if wanted is None and hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return wanted or os.cpu_count() or 1
