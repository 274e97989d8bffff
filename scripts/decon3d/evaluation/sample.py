"""Measurements with a method's own restorer: held-out photons on a sample of the data, and probes.

One job per channel and method, networks included. The probes are simulated here; they need neither
phantoms nor training, so that every dataset has them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.photons import PhotonScale, photon_scale
from decon3d.classical.risk import ImageNoise
from decon3d.errors import UserError
from decon3d.evaluation.catalogue import DEPENDENT, METRICS
from decon3d.evaluation.deviance import BLOCKS, HeldOut, held_out, middle, restore_chain
from decon3d.evaluation.fsc import DIRECTIONS, fsc_resolution_um
from decon3d.evaluation.full_reference import compare
from decon3d.evaluation.noise import measure_noise, noise_of
from decon3d.evaluation.predicted_error import predicted_error
from decon3d.evaluation.probe import (
    BALL_RADIUS,
    BEAD_RADIUS,
    BEADS,
    RANGE,
    bead_image,
    make_probe,
    proportion,
)
from decon3d.evaluation.records import Record
from decon3d.logs import log
from decon3d.optics.psf import Psf
from decon3d.optics.sections import Channel, Optics
from decon3d.phantoms import imaging
from decon3d.phantoms.recipes import make_object
from decon3d.phantoms.variation import Variation, varied_psf
from decon3d.restoration.arrays import restore_image
from decon3d.restoration.prepare import Preparation
from decon3d.restoration.restorers import State, claim_device
from decon3d.seeds import generator, stream_seed
from decon3d.versions import __version__
from decon3d.volumes.camera import Camera
from decon3d.volumes.photon_transfer import CORRELATED, measure_camera, neighbour_correlation

WIDTHS = (0.75, 0.9, 1.0, 1.1, 1.25)
"""Width of the PSF that images a phantom, relative to the one that the method assumes."""
WRONG_PSF = ("tubules", (24, 48, 48))
"""Recipe and voxels (Z, Y, X) of that phantom; one object, the same at every width."""
LEAST_PHOTONS = 0.05
"""Least mean photons per voxel above the dark level for a comparison of halves."""
_OWN = f"decon3d {__version__}"


@dataclass(frozen=True)
class Method:
    """A method with its sources, one entry each; the first one restores the data.

    Attributes
    ----------
    preparations
        Empty = the image is not changed.
    states
        Prepared for the channel.
    """

    preparations: Sequence[Preparation] = ()
    states: Sequence[State] = ()


@dataclass(frozen=True)
class Bench:
    """The shared inputs of all methods of one channel.

    Attributes
    ----------
    photons
        Dose of the probes.
    stream
        Names of dataset and channel.
    """

    psf: Psf
    optics: Optics
    channel: Channel
    camera: Camera
    photons: float
    background_photons: float
    seed: int
    stream: tuple[str, ...]


def evaluate_sample(
    method: Method,
    bench: Bench,
    *,
    sample: Sequence[NDArray[Any]],
    name: str,
    threads: int,
    gpus: int = 0,
    background: float | None = None,
) -> list[Record]:
    """Measure one method on one channel.

    Parameters
    ----------
    sample
        Blocks of the data (Z Y X, counts; NaN = no data), the brightest first.
    name
        The method's.
    threads, gpus
        CPU threads and devices that it may use.
    background
        Counts of empty places of the data; None = the camera's dark level.
    """
    for state in method.states:
        claim_device(state, gpus=gpus, threads=threads)
    placed: dict[str, Any] = {
        "dataset": bench.stream[0],
        "channel": bench.stream[1],
        "method": name,
    }
    found = held_out_records(
        method.states,
        sample=sample,
        camera=bench.camera,
        psf=bench.psf,
        background=background,
        seed=bench.seed,
        stream=bench.stream,
        name=name,
        threads=threads,
    )
    for part in (
        _probes(method, bench, threads),
        _wrong_psf(method, bench, threads),
    ):
        for values in part:
            found.append(Record(**placed, **values))
            log.info(
                "%s %s %s: %.4g",
                found[-1].subject,
                values["metric"],
                values["region"],
                values["value"],
            )
    return found


def _row(
    subject: str,
    split: str,
    metric: str,
    value: float,
    implementation: str,
    *,
    variant: str = "unmatched",
    region: str = "volume",
    recipe: str | None = None,
    photons: float | None = None,
    span: float | None = None,
) -> dict[str, Any]:
    return {
        "subject": subject,
        "split": split,
        "recipe": recipe,
        "photons": photons,
        "metric": metric,
        "variant": variant,
        "region": region,
        "range": span,
        "implementation": implementation,
        "value": value,
        "unit": METRICS[metric].unit or "1",
    }


def held_out_records(
    states: Sequence[State],
    *,
    sample: Sequence[NDArray[Any]],
    camera: Camera,
    psf: Psf,
    background: float | None,
    seed: int,
    stream: tuple[str, ...],
    name: str,
    threads: int,
) -> list[Record]:
    """Judge a method by held-out photons; NaN, with the reason, if that is not possible.

    Parameters
    ----------
    states
        The method's prepared restorers, one after the other; none = the image as it is.
    sample
        Blocks of the data (Z Y X, counts; NaN = no data), the brightest first.
    camera, psf
        The channel's.
    background
        Counts of empty places of the data; None = the camera's dark level.
    seed, stream
        The config's seed; names of dataset and channel.
    name
        The method's.
    threads
        CPU threads.

    Returns
    -------
    list of Record
        `deviance`, `deviance_part`, `light`, `fsc` and `predicted_error` of each block.
    """
    placed: dict[str, Any] = {"dataset": stream[0], "channel": stream[1], "method": name}
    blocks = list(sample[:BLOCKS])
    scale, reason = known_photons(sample, camera)
    found = [HeldOut(np.nan, (np.nan, np.nan))] * max(len(blocks), 1)
    how = reason
    if scale is not None:
        how = f"gain {scale.gain:.4g} from {scale.gain_from}, dark level {scale.offset:.4g} counts"
        restore = restore_chain(states, threads=threads)
        split = stream_seed(seed, "held_out", *stream) >> 1
        options: dict[str, Any] = {"psf": psf, "scale": scale, "background": background}
        found = [
            held_out(block, restore=restore, seed=split + i, **options)
            for i, block in enumerate(blocks)
        ]
        shared = correlation_of(sample, camera)
        if shared > CORRELATED:
            # Noise shared by the halves looks like agreement.
            how += f"; the noise of neighbours is correlated ({shared:.2f}), so that "
            how += f"{DEPENDENT}: too many iterations look best, and FSC is not measured"
            log.warning("held-out deviance: %s", how)
            found = [replace(values, fsc_um=(np.nan, np.nan)) for values in found]
    else:
        log.warning("held-out deviance: not measured: %s", reason)
    text = f"{_OWN}, binomial halves of sample blocks, both ways; {how}"
    rows = []
    for i, values in enumerate(found):
        subject = f"sample/{i:04d}"
        rows.append(_row(subject, "data", "deviance", values.deviance, text))
        for part, value in enumerate(values.parts):
            rows.append(_row(f"{subject}/{part:02d}", "data", "deviance_part", value, text))
        rows.append(_row(subject, "data", "light", values.light, text))
        for region, value in zip(DIRECTIONS, values.fsc_um, strict=True):
            rows.append(_row(subject, "data", "fsc", value, text + "; 1/7", region=region))
    log.info("%s: held-out deviance %.4g, light %.4g", name, found[0].deviance, found[0].light)
    rows += _predicted(states, blocks, camera, psf, background, seed, stream, threads)
    return [Record(**placed, **row) for row in rows]


def _predicted(
    states: Sequence[State],
    blocks: Sequence[NDArray[Any]],
    camera: Camera,
    psf: Psf,
    background: float | None,
    seed: int,
    stream: tuple[str, ...],
    threads: int,
) -> list[dict[str, Any]]:
    """Predict a restoration's error from the blocks.

    Empty if their noise is not known, or shared by neighbours: then the prediction is too low for
    restorations that keep the noise (see `restoration.iterations`), and excluded smoother ones.
    """
    if not states or not blocks or camera.gain_from == "assumed":
        return []
    measured = measure_camera(blocks)
    shared = neighbour_correlation(noise_of(measured, camera=camera).correlation)
    if shared > CORRELATED:
        log.warning("predicted error: not measured: noise of neighbours correlates (%.2f)", shared)
        return []
    noise = ImageNoise(camera.gain, camera.dark_level, measured.correlation)
    level = camera.offset if background is None else background
    restore = restore_chain(states, threads=threads, doubled=False)
    start = stream_seed(seed, "predicted", *stream) >> 1
    text = f"{_OWN}, Stein's risk within the OTF; gain {camera.gain:.4g} from {camera.gain_from}"
    options: dict[str, Any] = {"restore": restore, "psf": psf, "noise": noise, "background": level}
    return [
        _row(f"sample/{i:04d}/{replica:02d}", "data", "predicted_error", value, text)
        for i, block in enumerate(blocks)
        for replica, value in enumerate(predicted_error(middle(block), seed=start + i, **options))
    ]


def known_photons(sample: Sequence[NDArray[Any]], camera: Camera) -> tuple[PhotonScale | None, str]:
    """Find the camera's scale, or the reason why the photons of a sample cannot be split."""
    try:
        scale = photon_scale(camera)
    except UserError as error:
        return None, str(error)
    mean = float(np.mean([np.nanmean(scale.photons(b), dtype=np.float64) for b in sample]))
    if mean < LEAST_PHOTONS:
        return None, f"{mean:.2g} photons per voxel are too few"
    return scale, ""


def correlation_of(sample: Sequence[NDArray[Any]], camera: Camera) -> float:
    """Measure the largest correlation of the noise of direct neighbours, over Z, Y and X."""
    return neighbour_correlation(measure_noise(sample, camera=camera).correlation)


def _restored(
    method: Method, counts: NDArray[Any], bench: Bench, threads: int
) -> NDArray[np.float32]:
    for i, prepare in enumerate(method.preparations):
        counts = restore_image(
            np.maximum(counts, 0) if i else counts,
            prepare=prepare,
            threads=threads,
            camera_offset=None if i else bench.camera.known_offset,
        )
    return np.asarray(counts, np.float32)


def _probes(method: Method, bench: Bench, threads: int) -> Iterator[dict[str, Any]]:
    """Restore simulated beads and balls."""
    probe = make_probe(
        bench.psf,
        photons=bench.photons,
        background_photons=bench.background_photons,
        camera=imaging.SimulatedCamera.of(bench.camera),
        rng=generator(bench.seed, "probe", "objects", *bench.stream),
    )
    restored = _restored(method, probe.exposure.images[0], bench, threads)
    image, true = bead_image(restored, probe), bead_image(probe.exposure.object, probe).fwhm_um
    smallest = min(bench.psf.voxel_size_um)
    for i, axis in enumerate("zyx"):
        how = (
            f"{_OWN}, {image.found} of {BEADS} simulated beads of {2 * BEAD_RADIUS * smallest:.3g} "
            f"µm (as drawn {true[i]:.3g} µm wide) found"
        )
        row: dict[str, Any] = {"region": axis, "photons": bench.photons, "recipe": "beads"}
        yield _row("probe/beads", "probe", "bead_fwhm", image.fwhm_um[i], how, **row)
        yield _row("probe/beads", "probe", "bead_shift", image.shift_um[i], how, **row)
    found = proportion(restored, probe)
    how = (
        f"{_OWN}, simulated balls of {2 * BALL_RADIUS * smallest:.3g} µm, brightness 1 to {RANGE:g}"
    )
    row = {"photons": bench.photons, "recipe": "balls"}
    yield _row("probe/balls", "probe", "object_slope", found.slope, how, **row)
    yield _row("probe/balls", "probe", "object_exponent", found.exponent, how, **row)


def _wrong_psf(method: Method, bench: Bench, threads: int) -> Iterator[dict[str, Any]]:
    """Image one object by a PSF narrower and wider than assumed; with the right one, twice."""
    recipe, shape = WRONG_PSF
    psfs = {width: _stretched(bench, width) for width in WIDTHS}
    widest = np.max([imaging.margins(psf.data) for psf in psfs.values()], axis=0)
    structure = make_object(
        recipe,
        shape=tuple(np.add(shape, 2 * widest).tolist()),
        voxel_size_um=bench.psf.voxel_size_um,
        rng=generator(bench.seed, "probe", "object", *bench.stream),
    )
    for width, psf in psfs.items():
        spare = widest - imaging.margins(psf.data)
        inner = tuple(slice(s, n - s) for s, n in zip(spare, structure.shape, strict=True))
        exposure = imaging.form_image(
            structure[inner],
            psf=psf.data,
            photons=bench.photons,
            background_photons=bench.background_photons,
            camera=imaging.SimulatedCamera.of(bench.camera),
            rng=generator(bench.seed, "probe", "noise", *bench.stream),
            draws=2,
        )
        subject, split = f"probe/psf_{width:g}", f"psf_{width:g}"
        row: dict[str, Any] = {"recipe": recipe, "photons": bench.photons}
        restored = _restored(method, exposure.images[0], bench, threads)
        for score in compare(restored, exposure.object):
            yield _row(
                subject,
                split,
                score.metric,
                score.value,
                score.implementation,
                variant=score.variant,
                span=score.range,
                **row,
            )
        if width == 1:
            second = _restored(method, exposure.images[1], bench, threads)
            for region, direction in DIRECTIONS.items():
                value = fsc_resolution_um(
                    restored, second, voxel_size_um=psf.voxel_size_um, direction=direction
                )
                how = f"{_OWN}, two noise draws of one phantom; 1/7"
                yield _row(subject, "probe", "fsc", value, how, region=region, **row)


def _stretched(bench: Bench, width: float) -> Psf:
    if width == 1:
        return bench.psf
    change = Variation(None, width)
    return varied_psf(bench.psf, change, optics=bench.optics, channel=bench.channel)
