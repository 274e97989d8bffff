"""Restore pure dark noise: no objects may appear.

A volume of pure noise, with the level, variance and correlation of empty places of the data, is
restored as the data are. The result is blurred again by the PSF. A place counts as an object if its
image exceeds 5 σ of the raw image's noise, for a filter as wide as the PSF, since a microscopist
would see an object there. A faithful restoration follows the noise, whose highest place in such a
volume is at about 4 σ. Specks are too small to be visible there, so the brightest voxels of the
restored noise are measured, too, without blur, in σ of the raw noise.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from decon3d.blocks.geometry import Triple
from decon3d.evaluation.consistency import THRESHOLD, Checker, FloatArray, beyond, smooth
from decon3d.evaluation.deviance import restore_chain
from decon3d.evaluation.metric import OWN
from decon3d.evaluation.noise import Noise
from decon3d.evaluation.records import Record
from decon3d.logs import log
from decon3d.optics.psf import Psf
from decon3d.restoration.restorers import State
from decon3d.seeds import generator

SHAPE: Triple = (32, 96, 96)
BRIGHTEST = 0.0001
"""The brightness of specks is that of the darkest voxel in this brightest share of the restored
ones."""


def significance(restored: NDArray[np.floating], checker: Checker) -> FloatArray:
    """Return the re-blurred light of a restoration of dark noise, in σ.

    Parameters
    ----------
    restored
        Counts (Z, Y, X) of pure noise. Its median is the background, since a wrong level is not an
        object.
    checker
        Of the noise and the background that were restored.
    """
    wide = beyond(restored, [(h, h) for h in checker.halo])
    light, unseen = checker.blurred(wide, ~np.isnan(wide))
    if unseen is not None:
        light *= 1 - unseen  # no light beyond the faces
    values = smooth(light, checker.kernels)
    plain = np.prod([np.square(k).sum() for k in checker.kernels]) * checker.excess
    variance = checker.noise.variance(np.array([checker.background]))[0]
    result: FloatArray = (values - np.median(values)) / np.float32(np.sqrt(plain * variance))
    return result


def evaluate_dark_noise(
    states: Sequence[State],
    *,
    noise: Noise,
    background: float,
    psf: Psf,
    dataset: str,
    channel: str,
    method: str,
    seed: int,
    threads: int,
    shape: Triple = SHAPE,
) -> list[Record]:
    """Restore pure dark noise as the dataset's volumes are restored, and detect objects.

    Parameters
    ----------
    states
        The channel's prepared restorers, one after the other: the method's sources come first.
        Their devices are claimed.
    noise, background
        Of the raw volumes: the noise, and the counts of empty places.
    psf
        The channel's.
    threads
        CPU threads.
    shape
        Voxels of the noise (Z, Y, X).

    Returns
    -------
    list of Record
        `dark_objects`, the number of places above 5 σ; `dark_peak`, the highest, in σ; and
        `dark_specks`, the brightest voxels before the blur, in σ of the raw noise. Subject
        `probe/dark`, split `probe`.
    """
    values = noise.draw(shape, counts=background, rng=generator(seed, "dark", dataset, channel))
    values = restore_chain(states, threads=threads, doubled=False)(values)
    found = significance(
        values, Checker(psf=psf, noise=noise, background=background, threads=threads)
    )
    objects, peak = label(found >= THRESHOLD)[1], float(found.max())
    sigma = float(np.sqrt(noise.variance(np.array([background]))[0]))
    specks = float(np.quantile(values, 1 - BRIGHTEST) - np.median(values)) / sigma
    if objects:
        log.warning(
            "%s: %d object(s) above %g σ in pure dark noise, the highest %.1f σ",
            method,
            objects,
            THRESHOLD,
            peak,
        )
    implementation = f"{OWN}: {' × '.join(map(str, shape))} voxels, re-blurred"
    return [
        Record(
            dataset=dataset,
            channel=channel,
            method=method,
            subject="probe/dark",
            split="probe",
            metric=metric,
            value=value,
            implementation=implementation,
        )
        for metric, value in (
            ("dark_objects", float(objects)),
            ("dark_peak", peak),
            ("dark_specks", specks),
        )
    ]
