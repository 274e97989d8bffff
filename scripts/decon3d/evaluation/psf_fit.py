"""Tests of a PSF's width on the data, without truth.

`psf_sharpness` refutes a PSF that is too wide, `psf_spots` compares small objects with it. A PSF
that is not refuted need not be right. `tests/validation/validate_psf_fit.py` has the error rates.
All lengths are µm, axes Z Y X.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from decon3d.blocks.geometry import centred
from decon3d.evaluation.psf_sharpness import (
    ERROR,
    LEAST_SIZE,
    SIGNIFICANT,
    Interval,
    Sharpness,
    core_of,
    halves_of,
    sharper_than,
    stretched,
    too_sharp,
    true_width,
    wrong_axes,
)
from decon3d.evaluation.psf_spots import FEW, TOLERANCE, Spots, measure_spots, wider_than
from decon3d.files import write_record
from decon3d.logs import log
from decon3d.optics.psf import Psf
from decon3d.restoration.sample import sample_blocks
from decon3d.seeds import stream_seed
from decon3d.volumes.camera import Camera, CameraRecord
from decon3d.volumes.correlated_noise import CORRELATED, neighbour_correlation
from decon3d.volumes.no_data import read_marked
from decon3d.volumes.volume_record import VolumeRecord

Verdict = Literal["too wide", "too narrow", "fits", "cannot tell"]

FIELD = (64, 256, 256)
"""Largest region (Z, Y, X) in the middle of the first volume in which spots are detected."""


@dataclass(frozen=True)
class PsfFit:
    """The test of one channel's PSF on its data.

    Attributes
    ----------
    width
        True width over the assumed one, if measurable.
    too_wide
        None = not measurable.
    too_narrow
        None = not measurable.
    axes
        The wrong widths, if known: `lateral`, `axial`.
    sharpness
        Standard errors by which the image is sharper than the PSF allows; None = not tested.
    sharpness_wider
        The same for a PSF 1.25 times as wide.
    spots
        None = there are no separate spots of one size.
    text
        A sentence for the report.
    """

    verdict: Verdict
    width: Interval | None
    too_wide: bool | None
    too_narrow: bool | None
    axes: tuple[str, ...]
    sharpness: float | None
    sharpness_wider: float | None
    spots: Spots | None
    text: str

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        write_record(path, asdict(self))


def channel_psf_fit(
    records: Sequence[VolumeRecord],
    *,
    channel: int,
    times: Sequence[int] | None,
    psf: Psf,
    camera: Camera,
    measured: CameraRecord | None,
    bead_um: float | None,
    seed: int,
    threads: int = 1,
) -> PsfFit:
    """Test the PSF of one channel on its raw volumes.

    Parameters
    ----------
    records
        The ingested raw volumes.
    channel
        Channel index.
    times
        Time points to draw from; None = all.
    psf
        The channel's.
    camera, measured
        The resolved camera, and its measurement in the data.
    bead_um
        Diameter of the objects, if the config declares beads.
    seed
        The config's seed.
    threads
        CPU threads.
    """
    first = records[0]
    time = 0 if times is None else times[0]
    region = centred(first.shape[2:], FIELD)
    return check_psf(
        sample_blocks(records, channel=channel, times=times, seed=seed),
        psf=psf,
        dark_level=camera.dark_level,
        gain=None if camera.gain_from == "assumed" else camera.gain,
        correlation=neighbour_correlation(measured.correlation) if measured else 0.0,
        saturation=measured.saturation if measured else None,
        bead_um=bead_um,
        field=read_marked(first.open(), time, channel, region, first.fill(channel)),
        seed=stream_seed(seed, "psf_fit", channel),
        threads=threads,
    )


def check_psf(
    sample: Sequence[NDArray[Any]],
    *,
    psf: Psf,
    dark_level: float,
    gain: float | None,
    correlation: float = 0.0,
    saturation: float | None = None,
    bead_um: float | None = None,
    field: NDArray[Any] | None = None,
    seed: int = 0,
    threads: int = 1,
) -> PsfFit:
    """Test the width of a PSF on raw data.

    Parameters
    ----------
    sample
        Blocks of counts (Z, Y, X); NaN = no data. Of each, the middle 32 × 64 × 64 voxels are
        tested for sharpness.
    psf
        The assumed one, on the voxels of the sample.
    dark_level
        Counts at which the noise variance is 0 (offset less gain · read noise²).
    gain
        Counts per photon; None = not known, and the sharpness is not tested.
    correlation
        Of the noise of direct neighbours. Above 0.1 the photons cannot be split, and the sharpness
        is not tested.
    saturation
        Counts from which a voxel is saturated; such voxels are left out.
    bead_um
        Diameter of the objects, where they are beads.
    field
        Counts (Z, Y, X) in which spots are looked for; None = the sample's blocks.
    seed
        Of the split.
    threads
        CPU threads.

    Returns
    -------
    PsfFit
        Verdict, numbers and a sentence.
    """
    spots = measure_spots([field] if field is not None else sample, psf=psf, bead_um=bead_um)
    here = wider = None
    axes: tuple[str, ...] = ()
    reason = ""
    if gain is None:
        reason = "the camera's gain is not known"
    elif correlation > CORRELATED:
        reason = f"the noise of neighbouring voxels is correlated ({correlation:.2f})"
    else:
        halves = [
            halves_of(block, dark_level, gain, saturation, np.random.default_rng([seed, i]))
            for i, block in enumerate(sample)
            if min(block.shape) >= LEAST_SIZE
        ]
        core = core_of(psf)
        wider = sharper_than(halves, psf=stretched(core, ERROR, ERROR), threads=threads)
        if wider.significance >= SIGNIFICANT:  # else no error of that size would be seen
            here = sharper_than(halves, psf=core, threads=threads)
            if too_sharp(here, wider):
                axes = wrong_axes(halves, core, here, threads)
    return _judge(here, wider, axes, spots, reason)


def _judge(
    here: Sharpness | None,
    wider: Sharpness | None,
    axes: tuple[str, ...],
    spots: Spots | None,
    reason: str,
) -> PsfFit:
    """Combine both tests."""
    too_wide: bool | None = None
    too_narrow: bool | None = None
    width: Interval | None = None
    if here is not None and wider is not None and too_sharp(here, wider):
        too_wide, width = True, true_width(here.by_noise, wider.by_noise)
    if spots is not None:
        ratios = spots.ratios
        narrow = [name for name, ratio in ratios.items() if ratio[2] < 1 / TOLERANCE]
        if narrow:
            too_wide, axes = True, tuple(narrow)
            width = min((ratios[name] for name in narrow), key=lambda ratio: ratio[0])
        elif min(ratio[1] for ratio in ratios.values()) > 1 / TOLERANCE and too_wide is None:
            too_wide = False
        wide = wider_than(spots)
        if wide and not too_wide:
            too_narrow, axes = True, wide
            width = max((ratios[name] for name in wide), key=lambda ratio: ratio[0])
        elif max(ratio[2] for ratio in ratios.values()) < TOLERANCE:
            too_narrow = False
    verdict: Verdict = "cannot tell"
    if too_wide:
        verdict = "too wide"
    elif too_narrow:
        verdict = "too narrow"
    elif too_wide is False and too_narrow is False:
        verdict = "fits"
    text = _sentence(verdict, width, axes, spots, too_wide, too_narrow, reason)
    log.info("PSF: %s: %s", verdict, text)
    return PsfFit(
        verdict,
        width,
        too_wide,
        too_narrow,
        axes,
        None if here is None else round(here.significance, 2),
        None if wider is None else round(wider.significance, 2),
        spots,
        text,
    )


PLACES = {"axial": "along Z", "lateral": "in the plane"}


def _sentence(
    verdict: Verdict,
    width: Interval | None,
    axes: tuple[str, ...],
    spots: Spots | None,
    too_wide: bool | None,
    too_narrow: bool | None,
    reason: str,
) -> str:
    """Describe the result in a sentence."""
    if verdict == "too wide" and width is not None:
        where = f" {' and '.join(PLACES[a] for a in axes)}" if axes else ""
        return (
            f"the PSF is too wide{where}: the data are sharper than it allows; the true width is "
            f"about {_range(width)} times the PSF's. Restored objects become too thin or show "
            "rings. Check the optics, emission_um, the voxel size and the PSF's file"
        )
    measured = ""
    if spots is not None:
        object_ = "a point" if spots.bead_um is None else f"a bead of {spots.bead_um:g} µm"
        measured = (
            f"the width of {spots.count} separate spots, relative to the PSF's image of {object_}, "
            f"is {_range(spots.lateral)} in the plane and {_range(spots.axial)} along Z"
        )
    if verdict == "too narrow":
        sphere = "" if spots is None or spots.bead_um else "; spheres do not explain both widths"
        return (
            f"the PSF is too narrow: {measured}{sphere}. Restored objects remain too wide. Check "
            "the optics, depth_um, sample_index (spherical aberration) and the PSF's file"
        )
    if verdict == "fits":
        return f"the PSF fits the data: they are not sharper than it allows, and {measured}"
    parts = []
    if too_wide is False:
        parts.append(f"it is not too wide by {ERROR - 1:.0%} or more")
    elif reason:
        parts.append(f"whether it is too wide was not tested, because {reason}")
    else:
        parts.append("the data do not show that it is too wide, but cannot prove that it is not")
    if spots is not None:
        parts.append(f"{measured}; a wider PSF and small spheres look the same")
    elif too_narrow is None:
        parts.append(f"the test for a too narrow PSF needs {FEW} separate spots of one size")
    return f"the width of the PSF is not confirmed: {'; '.join(parts)}"


def _range(value: Interval) -> str:
    return f"{value[0]:.2f} (95 % interval {value[1]:.2f} to {value[2]:.2f})"
