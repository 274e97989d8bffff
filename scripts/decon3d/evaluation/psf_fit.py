"""Does the PSF fit the data? Tests of its width that need no truth.

**Too wide** can be refuted: an image that is sharper than the PSF is no object ⊗ PSF, whatever the
object is, since objects are not negative. The test (`sharper_than`) follows from Farkas' lemma. A
pattern c with Hᵀc ≥ 0 has ⟨c, Hx⟩ ≥ 0 for every object x ≥ 0, so that a significantly negative
⟨c, image⟩ refutes H. One half of the photons makes the pattern: it is restored by a narrower PSF,
and the expected image of that is approximated by H as well as possible. At the optimum, the
relative difference is such a pattern (the Kuhn-Tucker conditions of Richardson-Lucy). The other
half is judged. The same test of a PSF that is 1.25 times as wide sets the scale: a right PSF has a
small share of that sharpness. A PSF that is not refuted need not be right: in volumes of
20 × 56 × 56 voxels of fine structure, 21 of 48 PSFs that were 25 % too wide were refuted (of
widefield ones 1 of 12), and none of 100 right ones.

**Too narrow** cannot be refuted in general: a wide object and a narrow PSF make the same image as
the reverse. Objects known to be small tell it: beads of a declared diameter, or at least ten
separate spots of one size. Spots of one size may be small spheres instead of points, so without a
declared diameter the PSF counts as too narrow only where no sphere explains the widths along Z and
in the plane together.

`tests/validation/validate_psf_fit.py` has the error rates. All lengths are µm, axes Z Y X.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from decon3d.classical.operators import Blur
from decon3d.classical.richardson_lucy import unknown
from decon3d.files import write_record
from decon3d.logs import log
from decon3d.optics.ball import FWHM_OF_SIGMA, ideal_ball
from decon3d.optics.bead_detection import Candidate, find_candidates
from decon3d.optics.psf import Psf, fwhm_um, normalised_psf
from decon3d.optics.resampling import resample
from decon3d.restoration.blocks import centred
from decon3d.restoration.sample import sample_blocks
from decon3d.seeds import stream_seed
from decon3d.volumes.camera import Camera, CameraRecord
from decon3d.volumes.ingest import VolumeRecord
from decon3d.volumes.no_data import filled, read_marked

FloatArray = NDArray[np.float32]
Triple = tuple[float, float, float]
Interval = tuple[float, float, float]
"""Estimate, lower and upper end of its 95 % interval."""
Verdict = Literal["too wide", "too narrow", "fits", "cannot tell"]

ERROR = 1.25
"""Relative error of the width that the tests are made for."""
TOLERANCE = 1.1
"""Relative error of the width that is passed over."""
CORE = 2.2
"""Half-width of the part of the PSF that is tested, in FWHM. What lies beyond is smooth, and an
object of the same core can have it."""
FIELD = (64, 256, 256)
"""Most voxels (Z, Y, X), from the middle of the first volume, in which spots are looked for."""
BLOCK = (32, 64, 64)
"""Most voxels (Z, Y, X) of a block that are tested."""
ALTERNATIVE_STEPS = 8
"""Iterations of the narrower PSF: more of them fit the noise."""
PATTERN_STEPS = 150
"""Iterations towards the pattern c; after 40, Hᵀc ≥ 0 is too inexact at 2,000 photons."""
SIGNIFICANT = 2.5
"""Standard errors of the sharpness from which it counts."""
LEAST_SHARE = 0.15
"""… and the least share of the sharpness against a PSF 1.25 times as wide, both by the noise. In
20 × 56 × 56 voxels, right PSFs had up to 0.13, since Hᵀc ≥ 0 is not exact, and 25 % too wide ones
from 0.16 on."""
GROWTH = 1.74
"""Sharpness grows with this power of the logarithm of the PSF's width over the true one."""
CELL = (4, 8, 8)
"""Voxels (Z, Y, X) over which the scatter of the sharpness is measured."""
CORRELATED = 0.1
"""Correlation of neighbours' noise above which halves of the photons are not independent."""
LEAST_SIZE = 5
"""Planes, rows and columns below which a block is left out."""
FEW = 10
"""Least number of separate spots."""
SEPARATE = 2.5
"""Least distance of spots from each other, in FWHM."""
FROM_FACE = 1.2
"""The same from the faces."""
BRIGHT = 15.0
"""Least height of a spot over the noise."""
MOST = 200
"""Brightest spots of a field that are measured."""
ALIKE = 0.15
"""Largest relative scatter of the widths of spots of one size."""
ROUND = 1.35
"""Largest ratio of a spot's widths along Y and X."""
COMMON = 0.3
"""Least share of the separate spots that are round."""


@dataclass(frozen=True)
class Spots:
    """Widths of separate spots of one size."""

    count: int
    lateral: Interval
    """Width in the plane, relative to the assumed PSF's."""
    axial: Interval
    """The same along Z."""
    psf_um: tuple[float, float]
    """Widths of the PSF's own image of one, lateral and axial, by the same fit."""
    bead_um: float | None
    """Declared diameter, included in the PSF's width; None = unknown."""


@dataclass(frozen=True)
class PsfFit:
    """What the data of one channel say of its PSF."""

    verdict: Verdict
    width: Interval | None
    """True width over the assumed one, where the data tell."""
    too_wide: bool | None
    """None = the data do not tell."""
    too_narrow: bool | None
    """None = the data do not tell."""
    axes: tuple[str, ...]
    """Which widths are wrong, where known: `lateral`, `axial`."""
    sharpness: float | None
    """Standard errors by which the image is sharper than the PSF allows; None = not tested."""
    sharpness_wider: float | None
    """The same for a PSF 1.25 times as wide."""
    spots: Spots | None
    """None = there are no separate spots of one size."""
    text: str
    """A sentence for the report."""

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
        The resolved camera, and what the data say of it.
    bead_um
        Diameter of the objects, where the config says that they are beads.
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
        correlation=max((abs(c[0]) for c in measured.correlation), default=0) if measured else 0,
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
            _halves(block, dark_level, gain, saturation, np.random.default_rng([seed, i]))
            for i, block in enumerate(sample)
            if min(block.shape) >= LEAST_SIZE
        ]
        core = _core(psf)
        wider = sharper_than(halves, psf=stretched(core, ERROR, ERROR), threads=threads)
        if wider.significance >= SIGNIFICANT:  # else no error of that size would be seen
            here = sharper_than(halves, psf=core, threads=threads)
            if _too_sharp(here, wider):
                axes = _wrong_axes(halves, core, here, threads)
    return _judge(here, wider, axes, spots, reason)


@dataclass(frozen=True)
class Sharpness:
    """How much sharper an image is than a PSF allows."""

    excess: float
    """-⟨c, image⟩, summed over blocks."""
    noise: float
    """Its standard error by the noise of the photons."""
    scatter: float
    """Its standard error by the scatter between places: one hot pixel is no evidence."""

    @property
    def by_noise(self) -> float:
        """Standard errors of the noise."""
        return self.excess / self.noise if self.noise > 0 else 0.0

    @property
    def significance(self) -> float:
        """Standard errors, of the larger kind."""
        worst = max(self.noise, self.scatter)
        return self.excess / worst if worst > 0 else 0.0


Halves = tuple[FloatArray, FloatArray, NDArray[np.bool_] | None]


def sharper_than(halves: Sequence[Halves], *, psf: Psf, threads: int = 1) -> Sharpness:
    """Measure by how much images are sharper than a PSF allows.

    Parameters
    ----------
    halves
        Of each block: two independent images in photons (Z, Y, X), and where there are no data. The
        first makes the pattern, the second is judged. The reverse would add little: it shares
        most of its noise with this.
    psf
        The tested one.
    threads
        CPU threads.

    Returns
    -------
    Sharpness
        Not positive, but for noise, where the images are some object seen through the PSF.
    """
    narrower = stretched(psf, 1 / ERROR, 1 / ERROR)
    excess, variance, scatter = 0.0, 0.0, 0.0
    for first, second, absent in halves:
        z, y, x = first.shape
        model, sharp = (Blur((z, y, x), psf=p.data, threads=threads) for p in (psf, narrower))
        pattern, nearest = _pattern(first, model, sharp, absent)
        excess -= float(np.sum(pattern * second, dtype=np.float64))
        variance += float(np.sum(np.square(pattern) * second, dtype=np.float64))
        # ⟨c, nearest⟩ is 0 in sum, but not in each cell.
        cells = _by_cell(pattern * (second - nearest))
        scatter += cells.size * float(cells.var())
    return Sharpness(float(excess), float(variance**0.5), float(scatter**0.5))


def _pattern(
    image: FloatArray, model: Blur, sharp: Blur, absent: NDArray[np.bool_] | None
) -> tuple[FloatArray, FloatArray]:
    """Return c: what a sharper image lacks relative to the model's nearest one; and the latter."""
    goal = sharp.forward(_restored(image, sharp, ALTERNATIVE_STEPS, absent))
    nearest = model.forward(_restored(goal, model, PATTERN_STEPS, absent))
    pattern = 1 - goal / np.maximum(nearest, np.float32(1e-6) * max(float(goal.mean()), 1e-6))
    if absent is not None:
        pattern[absent] = 0
    return np.asarray(pattern, np.float32), nearest


def _restored(
    image: FloatArray, model: Blur, steps: int, absent: NDArray[np.bool_] | None
) -> FloatArray:
    """Restore an image without a background by Richardson-Lucy with momentum.

    An even background is an even object here, so that nothing has to be known of it.
    """
    weights: FloatArray = model.weights_without(absent)
    present = np.ones_like(image) if absent is None else (~absent).astype(np.float32)
    mean = float((image * present).mean()) / max(float(present.mean()), 1e-6)
    least = np.float32(max(1e-6 * mean, 1e-12))
    estimate: FloatArray = np.full(model.object_shape, np.float32(max(mean, 1e-6)))
    before = estimate
    for k in range(1, steps + 1):
        momentum = np.float32((k - 1) / (k + 2))
        ahead = np.maximum(estimate + momentum * (estimate - before), least)
        ratio = present * image / np.maximum(model.forward(ahead), least)
        change = model.adjoint(ratio.astype(np.float32, copy=False))
        before, estimate = estimate, ahead * weights * change
    return np.asarray(estimate, np.float32)


def _halves(
    block: NDArray[Any],
    dark_level: float,
    gain: float,
    saturation: float | None,
    rng: np.random.Generator,
) -> Halves:
    """Share the photons of the middle of a block between two images."""
    block = block[centred(block.shape, BLOCK)]
    absent = unknown(block, saturation)
    counts = filled(block, dark_level).astype(np.float64)
    photons = np.maximum(np.rint((counts - dark_level) / gain), 0).astype(np.int64)
    first = rng.binomial(photons, 0.5)
    return first.astype(np.float32), (photons - first).astype(np.float32), absent


def _by_cell(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sum (Z, Y, X) over cells; the last ones may be smaller."""
    result = values.astype(np.float64)
    for axis, size in enumerate(CELL):
        result = np.add.reduceat(result, np.arange(0, result.shape[axis], size), axis=axis)
    return result


def stretched(psf: Psf, axial: float, lateral: float) -> Psf:
    """Return a PSF that is so many times as wide along Z and in the plane."""
    z, y, x = psf.voxel_size_um
    data = resample(
        psf.data.astype(np.float64),
        voxel_size_um=(z * axial, y * lateral, x * lateral),
        target_voxel_size_um=psf.voxel_size_um,
    )
    return normalised_psf(np.clip(data, 0, None), psf.voxel_size_um, {})


def _core(psf: Psf) -> Psf:
    """Cut out what lies within `CORE` widths of the centre."""
    middle = [
        (n // 2, min(n // 2, int(np.ceil(CORE * width / voxel))))
        for n, width, voxel in zip(
            psf.data.shape, fwhm_um(psf.data, psf.voxel_size_um), psf.voxel_size_um, strict=True
        )
    ]
    box = tuple(slice(m - h, m + h + 1) for m, h in middle)
    return normalised_psf(psf.data[box], psf.voxel_size_um, {})


def _too_sharp(here: Sharpness, wider: Sharpness) -> bool:
    return (
        here.significance >= SIGNIFICANT
        and wider.significance >= SIGNIFICANT
        and here.by_noise >= LEAST_SHARE * wider.by_noise
    )


def _wrong_axes(
    halves: Sequence[Halves], core: Psf, here: Sharpness, threads: int
) -> tuple[str, ...]:
    """Find along which axes a PSF is too wide: the one whose narrowing takes the excess away."""
    left = {
        name: sharper_than(halves, psf=stretched(core, *factors), threads=threads).by_noise
        for name, factors in {"axial": (1 / ERROR, 1.0), "lateral": (1.0, 1 / ERROR)}.items()
    }
    best = min(left, key=lambda name: left[name])
    if left[best] < here.by_noise / 3 and max(left.values()) > 2 * max(left[best], SIGNIFICANT):
        return (best,)
    return ()


def _true_width(here: float, wider: float) -> Interval:
    """Estimate the true width over the assumed one from both values of the sharpness."""

    def width(first: float, second: float) -> float:
        share = float(np.clip(first / max(second, 1e-6), 1e-6, 0.9)) ** (1 / GROWTH)
        return float(ERROR ** (-share / (1 - share)))

    return width(here, wider), width(here + 2, wider), width(max(here - 2, 0.0), wider)


def measure_spots(
    fields: Sequence[NDArray[Any]], *, psf: Psf, bead_um: float | None = None
) -> Spots | None:
    """Measure separate spots of one size, relative to the image that the PSF makes of one.

    Parameters
    ----------
    fields
        Counts (Z, Y, X); NaN = no data.
    psf
        The assumed one, on the same voxels.
    bead_um
        Diameter of the objects; None = points.

    Returns
    -------
    Spots or None
        None where there are fewer than ten, or where they are not round or not of one size.
    """
    expected = _image_of_one(psf, bead_um)
    if expected is None:
        return None
    good: list[Candidate] = []
    separate = 0
    for field in fields:
        if min(field.shape) < LEAST_SIZE or not np.isfinite(field).any():
            continue
        values = filled(field, float(np.nanmedian(field))).astype(np.float32)
        found = find_candidates(
            values, voxel_size_um=psf.voxel_size_um, expected_fwhm_um=expected, most=MOST
        )
        for spot in _separate(found, field.shape, psf.voxel_size_um, expected):
            separate += 1
            if spot.fwhm_um and 1 / ROUND < spot.fwhm_um[1] / spot.fwhm_um[2] < ROUND:
                good.append(spot)
    if len(good) < max(FEW, COMMON * separate):
        return None
    widths = np.array([spot.fwhm_um for spot in good])
    ratios = np.stack(
        [
            np.sqrt(widths[:, 1] * widths[:, 2] / (expected[1] * expected[2])),
            widths[:, 0] / expected[0],
        ]
    )
    middle = np.median(ratios, axis=1)
    scatter = 1.4826 * np.median(np.abs(ratios - middle[:, None]), axis=1)
    if (scatter > ALIKE * middle).any():
        return None
    # The standard error of a median is 1.25 times that of a mean.
    half = 1.96 * 1.25 * np.maximum(scatter, 0.01) / len(good) ** 0.5
    lateral, axial = (
        (float(m), float(m - h), float(m + h)) for m, h in zip(middle, half, strict=True)
    )
    own = (float(np.sqrt(expected[1] * expected[2])), float(expected[0]))
    return Spots(len(good), lateral, axial, own, bead_um)


def _image_of_one(psf: Psf, bead_um: float | None) -> Triple | None:
    """Fit the image of one bead or point as the spots are fitted; return its widths."""
    width = np.array(fwhm_um(psf.data, psf.voxel_size_um))
    image = psf.data.astype(np.float64)
    if bead_um:
        from scipy.signal import fftconvolve

        half = [int(np.ceil(bead_um / 2 / v)) + 1 for v in psf.voxel_size_um]
        z, y, x = (2 * h + 1 for h in half)
        ball = ideal_ball(diameter_um=bead_um, voxel_size_um=psf.voxel_size_um, shape=(z, y, x))
        image = fftconvolve(image, ball)
        width = np.hypot(width, FWHM_OF_SIGMA * bead_um / np.sqrt(20))
    widths: Triple = (float(width[0]), float(width[1]), float(width[2]))
    reach = [int(np.ceil(2 * w / v)) for w, v in zip(width, psf.voxel_size_um, strict=True)]
    image = np.pad(image, [(r, r) for r in reach])
    found = find_candidates(
        (1e3 * image / image.max()).astype(np.float32),
        voxel_size_um=psf.voxel_size_um,
        expected_fwhm_um=widths,
    )
    return found[0].fwhm_um if found else None


def _separate(
    found: Sequence[Candidate], shape: Sequence[int], voxel_size_um: Triple, width_um: Triple
) -> list[Candidate]:
    """Keep bright spots that stand alone and away from the faces."""
    if not found:
        return []
    scale = np.divide(voxel_size_um, width_um)
    places = np.array([spot.position for spot in found]) * scale
    distance = cKDTree(places).query(places, k=2)[0][:, 1] if len(found) > 1 else [np.inf]
    last = (np.array(shape) - 1) * scale - FROM_FACE
    inner = np.all((places > FROM_FACE) & (places < last), axis=1).tolist()
    least = sorted((spot.signal_to_noise for spot in found), reverse=True)[:MOST][-1]
    return [
        spot
        for spot, away, inside in zip(found, distance, inner, strict=True)
        if away > SEPARATE and inside and spot.signal_to_noise >= max(least, BRIGHT)
    ]


def _judge(
    here: Sharpness | None,
    wider: Sharpness | None,
    axes: tuple[str, ...],
    spots: Spots | None,
    reason: str,
) -> PsfFit:
    """Put both tests together."""
    too_wide: bool | None = None
    too_narrow: bool | None = None
    width: Interval | None = None
    if here is not None and wider is not None and _too_sharp(here, wider):
        too_wide, width = True, _true_width(here.by_noise, wider.by_noise)
    if spots is not None:
        ratios = {"lateral": spots.lateral, "axial": spots.axial}
        narrow = [name for name, ratio in ratios.items() if ratio[2] < 1 / TOLERANCE]
        if narrow:
            too_wide, axes = True, tuple(narrow)
            width = min((ratios[name] for name in narrow), key=lambda ratio: ratio[0])
        elif min(ratio[1] for ratio in ratios.values()) > 1 / TOLERANCE and too_wide is None:
            too_wide = False
        wide = _wider_than(spots)
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
        verdict, width, too_wide, too_narrow, axes,
        None if here is None else round(here.significance, 2),
        None if wider is None else round(wider.significance, 2),
        spots, text,
    )  # fmt: skip


def _wider_than(spots: Spots) -> tuple[str, ...]:
    """Name the widths of spots that no sphere explains, or not the declared one."""
    if spots.bead_um is not None:
        ratios = {"lateral": spots.lateral, "axial": spots.axial}
        return tuple(name for name, ratio in ratios.items() if ratio[1] > TOLERANCE)
    # A sphere adds the same to the squares of both widths.
    lateral, axial = spots.psf_um
    sphere = max(spots.lateral[2] ** 2 - 1, 0.0) * lateral**2
    return ("axial",) if spots.axial[1] > TOLERANCE * (1 + sphere / axial**2) ** 0.5 else ()


PLACES = {"axial": "along Z", "lateral": "in the plane"}


def _sentence(
    verdict: Verdict, width: Interval | None, axes: tuple[str, ...], spots: Spots | None,
    too_wide: bool | None, too_narrow: bool | None, reason: str,
) -> str:  # fmt: skip
    """Say in plain words what was found."""
    if verdict == "too wide" and width is not None:
        where = f" {' and '.join(PLACES[a] for a in axes)}" if axes else ""
        return (
            f"the PSF is too wide{where}: the data are sharper than it allows; the true one has "
            f"about {_range(width)} of its width. Restored objects come out too thin or ring. "
            "Check the optics, emission_um, the voxel size and the PSF's file"
        )
    measured = ""
    if spots is not None:
        object_ = "points" if spots.bead_um is None else f"beads of {spots.bead_um:g} µm"
        measured = (
            f"{spots.count} separate spots are {_range(spots.lateral)} times as wide in the plane "
            f"and {_range(spots.axial)} times along Z as it makes {object_}"
        )
    if verdict == "too narrow":
        sphere = "" if spots is None or spots.bead_um else "; spheres of no size would be so"
        return (
            f"the PSF is too narrow: {measured}{sphere}. Restored objects stay too wide. Check the "
            "optics, depth_um, sample_index (spherical aberration) and the PSF's file"
        )
    if verdict == "fits":
        return f"the PSF fits the data: they are not sharper than it allows, and {measured}"
    parts = []
    if too_wide is False:
        parts.append(f"it is not too wide (by {ERROR - 1:.0%} or more)")
    elif reason:
        parts.append(f"whether it is too wide was not tested, because {reason}")
    else:
        parts.append("the data do not refute it as too wide, which is no proof")
    if spots is not None:
        parts.append(f"{measured}: a wider PSF and small spheres look the same")
    elif too_narrow is None:
        parts.append(
            f"whether it is too narrow cannot be told without {FEW} separate spots of one size"
        )
    return f"the width of the PSF is not confirmed: {'; '.join(parts)}"


def _range(value: Interval) -> str:
    return f"{value[0]:.2f} ({value[1]:.2f} to {value[2]:.2f})"
