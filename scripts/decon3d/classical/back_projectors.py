"""An unmatched back projector: few iterations do the work of many.

Guo et al. 2020 ("Rapid image deconvolution and multiview fusion for optical microscopy", Nat.
Biotechnol. 38, 1337) replace Hᵀ by a filter that undoes the blur inside a pass band, Wiener's
inverse times a Butterworth low pass, so that one or two iterations suffice. The price: it is no
longer the maximum-likelihood iteration, it may make faint ringing, and more iterations add noise
without end.

Two measures keep noise down. Iterations start from the local mean of the image, and counts are
added to the image and to the model alike (`damping_counts`), so that noise changes an empty voxel
by a bounded share per iteration. In an empty stack of 3 photons per voxel with specks of 13 photons
in the image, two iterations leave specks of 2 photons (confocal) and 5 photons (widefield). From
the image itself and without damping, they were 38 and 1,056 photons.
"""

from collections.abc import Iterator
from itertools import count

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from decon3d.classical.device import CPU, Device
from decon3d.classical.light import LEAST_START, local_mean
from decon3d.classical.operators import Blur, checked_psf
from decon3d.classical.richardson_lucy import FLOOR, FloatArray, observe
from decon3d.optics.psf import fwhm_um

WIENER = 1e-2
"""α, relative to the OTF's largest value. Guo et al. use 0.001; on a specimen of 150 photons, 0.01
is better by 0.1 dB (confocal) and 1.5 dB (widefield) after two iterations."""
ORDER = 10
"""Order n of the Butterworth filter."""
LEAST_FACTOR = np.float32(0.1)
"""What a voxel may lose in an iteration: the filter's negative lobes would else empty voxels for
good. Measured on phantoms: up to 0.2 dB at the second iteration."""
MOST_WEIGHT = np.float32(1.5)
"""Largest boundary weight that is used."""
CALM = 0.2
"""How much noise may change a voxel of an empty place per iteration, at most, relative to the
expected counts there."""


def unmatched_blur(
    shape: tuple[int, int, int], *, psf: ArrayLike, threads: int = 1, device: Device = CPU
) -> Blur:
    """Make the forward model of an image shape with the unmatched back projector.

    The PSF is padded with zeros to twice its size less one, since the filter reaches further than
    the blur; cut to the PSF's size it costs 0.5 to 3 dB at the second iteration.
    """
    psf = checked_psf(psf)
    back = _back_projector(psf)
    return Blur(shape, psf=_padded(psf), back=back, threads=threads, device=device)


def damping_counts(psf: NDArray[np.floating], *, background_sigma: float) -> float:
    """Return the counts to add to image and model: noise changes empty voxels by `CALM` at most.

    Parameters
    ----------
    psf
        Axes Z Y X, odd sizes, sum 1.
    background_sigma
        Standard deviation of empty places, in counts.
    """
    return float(np.linalg.norm(_back_projector(checked_psf(psf)))) * background_sigma / CALM


def _back_projector(psf: FloatArray) -> FloatArray:
    """Make the kernel, twice the PSF's size less one.

    The PSF is tapered along Z first. A widefield PSF holds as much light in its outermost planes as
    in the middle. Cut there, its OTF has side lobes along the Z frequency, which the filter would
    invert: the kernel does not decay, and its sum within the frame may be negative.
    """
    taper = np.hanning(psf.shape[0] + 2)[1:-1]
    tapered = psf * taper[:, None, None]
    return wiener_butterworth(_padded(tapered / tapered.sum()))


def _padded(psf: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.pad(psf, [(n // 2, n // 2) for n in psf.shape])


def iterate_unmatched(
    image: NDArray[np.generic],
    *,
    model: Blur,
    background: float,
    initial: float,
    damping: float = 0.0,
) -> Iterator[tuple[int, FloatArray]]:
    """Iterate without end from the image's local mean; yield (iteration from 1, estimate).

    Parameters
    ----------
    image
        Counts (Z Y X). The background is subtracted first, as published: in the model it would
        damp the few steps there are.
    model
        From `unmatched_blur`.
    background, initial
        As for `richardson_lucy`; floors are relative to `initial`.
    damping
        Counts ≥ 0 that are added to the image, less its background, and to the model.

    Raises
    ------
    UserError
        As `richardson_lucy` does.
    """
    observed = observe(image, background=background, initial=initial, saturation=None)
    g, seen = observed.counts - np.float32(background), observed.seen
    beyond = [(s.start, m - s.stop) for s, m in zip(model.inside, model.object_shape, strict=True)]
    unseen = np.zeros(g.shape, bool) if seen is None else seen == 0
    unseen = np.pad(unseen, beyond, constant_values=True)
    start = local_mean(np.pad(g, beyond), model.neighbourhood, absent=unseen)
    np.maximum(start, np.float32(LEAST_START * initial), out=start)
    floor = np.float32(1e3 * FLOOR * initial)
    g += np.float32(damping)
    np.maximum(g, floor, out=g)
    if seen is not None:
        g *= seen
    put = model.device.put
    return _iterations(put(g), put(start), model, model.weights_for(seen), damping, floor)


def _iterations(
    g: FloatArray,
    x: FloatArray,
    model: Blur,
    weights: FloatArray,
    damping: float,
    floor: np.float32,
) -> Iterator[tuple[int, FloatArray]]:
    # Beyond the faces the filter's negative lobes may leave next to nothing to divide by; such
    # voxels keep their start.
    weights = np.where(weights < MOST_WEIGHT, weights, np.float32(0))
    kept = weights == 0
    for k in count(1):
        expected = model.forward(x)
        expected += np.float32(damping)
        np.maximum(expected, floor, out=expected)
        factor = model.adjoint(np.divide(g, expected, out=expected))
        factor *= weights
        factor[kept] = 1
        x *= np.maximum(factor, LEAST_FACTOR, out=factor)
        yield k, x[model.inside]


def wiener_butterworth(psf: NDArray[np.floating]) -> FloatArray:
    """Make the kernel whose correlation with an image is the back projection.

    Its spectrum is OTF / (|OTF|² + α) / sqrt(1 + ε² w²ⁿ), with w the frequency relative to the
    cutoff 1 / FWHM of each axis (an ellipsoid), and ε such that at the cutoff the filter passes no
    more than the OTF itself does there (Guo's β = 1).

    Parameters
    ----------
    psf
        Axes Z Y X, odd sizes, sum 1.

    Returns
    -------
    array (Z Y X), float32
        Of the PSF's shape, sum 1; partly negative. It is cut there: leave it room.
    """
    widths = fwhm_um(np.asarray(psf, np.float64), (1.0, 1.0, 1.0))
    sizes = [2 * n + 1 for n in psf.shape]
    padded = np.zeros(sizes)
    padded[tuple(slice(0, n) for n in psf.shape)] = psf
    padded = np.roll(padded, [-(n // 2) for n in psf.shape], axis=(0, 1, 2))
    otf = fft.fftn(padded)
    w2 = np.zeros(sizes)  # (frequency / cutoff)²
    at_cutoff = []
    for axis, (n, width) in enumerate(zip(sizes, widths, strict=True)):
        line = fft.fftfreq(n) * width
        w2 += np.expand_dims(line**2, [a for a in range(3) if a != axis])
        nearest = [0, 0, 0]
        nearest[axis] = int(np.argmin(np.abs(line - 1)))
        at_cutoff.append(np.abs(otf[tuple(nearest)]))
    passed = float(np.mean(at_cutoff))
    wiener = passed / (passed**2 + WIENER)
    epsilon2 = max((wiener / passed) ** 2 - 1, 0.0) if passed > 0 else 0.0
    spectrum = otf / (np.abs(otf) ** 2 + WIENER) / np.sqrt(1 + epsilon2 * w2**ORDER)
    kernel = np.roll(fft.ifftn(spectrum).real, [n // 2 for n in psf.shape], axis=(0, 1, 2))
    kernel = kernel[tuple(slice(0, n) for n in psf.shape)]
    return (kernel / kernel.sum()).astype(np.float32)
