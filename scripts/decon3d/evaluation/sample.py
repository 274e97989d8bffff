"""Measurements with a method's own restorer: held-out photons on a sample of the data, and probes.

One job per channel and method, networks included. The probes are simulated here; they need neither
phantoms nor training, so that every dataset has them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.photons import PhotonScale, photon_scale
from decon3d.classical.risk import WHITE, ImageNoise
from decon3d.errors import UserError
from decon3d.evaluation.catalogue import DEPENDENT
from decon3d.evaluation.deviance import BLOCKS, HeldOut, held_out, middle, restore_chain
from decon3d.evaluation.fsc import DIRECTIONS, fsc_resolution_um
from decon3d.evaluation.full_reference import compare
from decon3d.evaluation.metric import OWN
from decon3d.evaluation.noise import measure_noise
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
from decon3d.restoration.arrays import restore_alike
from decon3d.restoration.prepare import Preparation
from decon3d.restoration.restorers import State, claim_device
from decon3d.seeds import generator, stream_seed
from decon3d.volumes.camera import Camera
from decon3d.volumes.correlated_noise import CORRELATED, neighbour_correlation

WIDTHS = (0.75, 0.9, 1.0, 1.1, 1.25)
"""Width of the PSF that images a phantom, relative to the one that the method assumes."""
WRONG_PSF = ("tubules", (24, 48, 48))
"""Recipe and voxels (Z, Y, X) of that phantom; one object, the same at every width."""
LEAST_PHOTONS = 0.05
"""Least mean photons per voxel above the dark level for a comparison of halves."""
NewRecord = Callable[..., Record]


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
    halves: list[HeldOut] | None = None,
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
    halves
        Gets the comparisons of held-out photons (see `held_out_records`).
    """
    for state in method.states:
        claim_device(state, gpus=gpus, threads=threads)
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
        halves=halves,
    )
    new = _maker(bench.stream, name)
    for measure in (_probes, _wrong_psf):
        for record in measure(method, bench, threads, new):
            log.info("%s %s %s: %.4g", record.subject, record.metric, record.region, record.value)
            found.append(record)
    return found


def _maker(stream: tuple[str, ...], method: str) -> NewRecord:
    """Return a function that makes records of one method, of a dataset's channel."""
    return partial(Record, dataset=stream[0], channel=stream[1], method=method)


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
    halves: list[HeldOut] | None = None,
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
    halves
        Gets the comparison of each block if its halves are independent.

    Returns
    -------
    list of Record
        `deviance`, `deviance_part`, `light`, `fsc` and `predicted_error` of each block.
    """
    blocks = list(sample[:BLOCKS])
    scale, reason = known_photons(sample, camera)
    found = [HeldOut(np.nan, (np.nan, np.nan))] * max(len(blocks), 1)
    how = reason
    options: dict[str, Any]
    correlation: Sequence[Sequence[float]] = WHITE
    shared = 0.0
    if sample and camera.gain_from != "assumed":
        correlation = measure_noise(sample, camera=camera).correlation
        shared = neighbour_correlation(correlation)
    if scale is not None:
        how = f"gain {scale.gain:.4g} from {scale.gain_from}, dark level {scale.offset:.4g} counts"
        restore = restore_chain(states, threads=threads)
        split = stream_seed(seed, "held_out", *stream) >> 1
        options = {"psf": psf, "scale": scale, "background": background}
        found = [
            held_out(block, restore=restore, seed=split + i, **options)
            for i, block in enumerate(blocks)
        ]
        if shared > CORRELATED:
            # Noise shared by the halves looks like agreement.
            how += f"; the noise of neighbours is correlated ({shared:.2f}), so that "
            how += f"{DEPENDENT}: too many iterations look best, and FSC is not measured"
            log.warning("held-out deviance: %s", how)
            found = [replace(values, fsc_um=(np.nan, np.nan)) for values in found]
        elif halves is not None:
            halves += found
    else:
        log.warning("held-out deviance was not measured: %s", reason)
    text = f"{OWN}, binomial halves of sample blocks, both ways; {how}"
    new = partial(_maker(stream, name), split="data", implementation=text)
    records = []
    for i, values in enumerate(found):
        subject = f"sample/{i:04d}"
        records.append(new(subject=subject, metric="deviance", value=values.deviance))
        records += [
            new(subject=f"{subject}/{part:02d}", metric="deviance_part", value=value)
            for part, value in enumerate(values.parts)
        ]
        records.append(new(subject=subject, metric="light", value=values.light))
        records += [
            new(
                subject=subject, metric="fsc", value=v, region=region, implementation=f"{text}; 1/7"
            )
            for region, v in zip(DIRECTIONS, values.fsc_um, strict=True)
        ]
    log.info("%s: held-out deviance %.4g, light %.4g", name, found[0].deviance, found[0].light)
    if not states or not blocks or camera.gain_from == "assumed":
        return records
    if shared > CORRELATED:
        # The prediction is too low for restorations that keep the noise (see
        # `restoration.iterations`), and excluded smoother ones.
        log.warning(
            "predicted error was not measured, because the noise of neighbouring voxels is "
            "correlated (%.2f)",
            shared,
        )
        return records
    noise = ImageNoise(camera.gain, camera.dark_level, correlation)
    level = camera.offset if background is None else background
    restore = restore_chain(states, threads=threads, doubled=False)
    start = stream_seed(seed, "predicted", *stream) >> 1
    text = f"{OWN}, Stein's risk within the OTF; gain {camera.gain:.4g} from {camera.gain_from}"
    options = {"restore": restore, "psf": psf, "noise": noise, "background": level}
    return records + [
        new(
            subject=f"sample/{i:04d}/{replica:02d}",
            metric="predicted_error",
            value=value,
            implementation=text,
        )
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


def _restored(
    method: Method, images: Sequence[NDArray[Any]], bench: Bench, threads: int
) -> list[NDArray[np.float32]]:
    """Restore images of one object; settings that are chosen on an image are those of the first."""
    restored = list(images)
    for i, prepare in enumerate(method.preparations):
        restored = restore_alike(
            [np.maximum(counts, 0) for counts in restored] if i else restored,
            prepare=prepare,
            threads=threads,
            camera_offset=None if i else bench.camera.known_offset,
        )
    return [np.asarray(counts, np.float32) for counts in restored]


def _probes(method: Method, bench: Bench, threads: int, new: NewRecord) -> Iterator[Record]:
    """Restore simulated beads and balls."""
    probe = make_probe(
        bench.psf,
        photons=bench.photons,
        background_photons=bench.background_photons,
        camera=imaging.SimulatedCamera.of(bench.camera),
        rng=generator(bench.seed, "probe", "objects", *bench.stream),
    )
    new = partial(new, split="probe", photons=bench.photons)
    restored = _restored(method, probe.exposure.images[:1], bench, threads)[0]
    image, true = bead_image(restored, probe), bead_image(probe.exposure.object, probe).fwhm_um
    smallest = min(bench.psf.voxel_size_um)
    for i, axis in enumerate("zyx"):
        how = (
            f"{OWN}, {image.found} of {BEADS} simulated beads of {2 * BEAD_RADIUS * smallest:.3g} "
            f"µm (as drawn {true[i]:.3g} µm wide) found"
        )
        row = {"subject": "probe/beads", "recipe": "beads", "region": axis, "implementation": how}
        yield new(**row, metric="bead_fwhm", value=image.fwhm_um[i])
        yield new(**row, metric="bead_shift", value=image.shift_um[i])
    found = proportion(restored, probe)
    how = (
        f"{OWN}, simulated balls of {2 * BALL_RADIUS * smallest:.3g} µm, brightness 1 to {RANGE:g}"
    )
    row = {"subject": "probe/balls", "recipe": "balls", "implementation": how}
    yield new(**row, metric="object_slope", value=found.slope)
    yield new(**row, metric="object_exponent", value=found.exponent)


def _wrong_psf(method: Method, bench: Bench, threads: int, new: NewRecord) -> Iterator[Record]:
    """Image one object by a PSF narrower and wider than assumed; with the right one, twice."""
    recipe, shape = WRONG_PSF
    new = partial(new, recipe=recipe, photons=bench.photons)
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
        subject = f"probe/psf_{width:g}"
        restored = _restored(method, exposure.images[: 2 if width == 1 else 1], bench, threads)
        for score in compare(restored[0], exposure.object):
            yield new(subject=subject, split=f"psf_{width:g}", **vars(score))
        if width == 1:
            for region, direction in DIRECTIONS.items():
                value = fsc_resolution_um(
                    *restored, voxel_size_um=psf.voxel_size_um, direction=direction
                )
                yield new(
                    subject=subject,
                    split="probe",
                    metric="fsc",
                    region=region,
                    value=value,
                    implementation=f"{OWN}, two noise draws of one phantom; 1/7",
                )


def _stretched(bench: Bench, width: float) -> Psf:
    if width == 1:
        return bench.psf
    change = Variation(None, width)
    return varied_psf(bench.psf, change, optics=bench.optics, channel=bench.channel)
