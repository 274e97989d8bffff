"""Decorrelation analysis: the frequency at which an image's spectrum ends (Descloux et al. 2019).

Descloux, Grußmayer, Radenovic, "Parameter-free image resolution estimation based on decorrelation
analysis", Nature Methods 16, 918. Written from the paper and the parameters of its authors'
program ImDecorr; other programs differ from it by up to 10 %.

It needs no truth and no calibration. **After a deconvolution, it measures the cut-off of the
processed spectrum, not a physical resolution.**
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from decon3d.volumes.apodization import fade, fade_missing

EDGE = 20
"""Pixels over which the image fades to its mean towards its edges and to missing voxels."""
RADII = 50
FILTERS = 10
FALL = 5e-4
"""A local maximum must be followed by a fall of at least this."""
LEAST_AMPLITUDE = 0.05
"""Lower maxima are noise."""
NARROWEST = 0.15
"""g of the strongest high-pass filter."""
REFINED = 0.4
"""Range of the second pass beyond the first pass's cut-off."""
SMALLEST = 9
"""Shortest edge, in pixels, of an image that can be analysed."""
SECTOR = np.pi / 8
"""Half angle around the axis of the rows, if only that axis is analysed."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Decorrelation:
    """The outcome for one plane.

    Attributes
    ----------
    cutoff
        k_c: highest frequency with signal, 1 = Nyquist; 0 = none found.
    amplitude
        A₀ of the unfiltered image, 0 … 1: grows with the signal-to-noise ratio. As published, the
        image keeps its mean, so that A₀ depends on the background and the camera's offset.
    """

    cutoff: float
    amplitude: float

    def resolution_um(self, pixel_um: float) -> float:
        """Return 2 · pixel / k_c in µm, NaN where no cut-off was found."""
        return 2 * pixel_um / self.cutoff if self.cutoff > 0 else float("nan")


def decorrelate(plane: NDArray[Any], *, along_rows: bool = False) -> Decorrelation:
    """Analyse one plane.

    With F the image's spectrum and I = F / |F| inside r < 1,

        d(r) = Σ_{<r} Re(F I*) / (‖F‖ ‖I_{<r}‖),

    for F itself and for F (1 - exp(-2 g² r²)) with ten g; k_c is the largest position of a local
    maximum. A second pass, with finer radii and g around the first's, refines it. A₀ is the height
    of that maximum for F itself, which includes the image's mean, as in ImDecorr. The search for
    k_c leaves the mean out, so that k_c does not depend on the offset.

    Parameters
    ----------
    plane
        (rows, columns), any unit; NaN = no data.
    along_rows
        Look only at frequencies within 22.5° of the axis along which rows follow each other (in
        units of each axis's Nyquist frequency): the axial cut-off of an xz plane. Of few rows
        (64) and a lateral cut-off twice as high it reads up to a third too high.

    Returns
    -------
    Decorrelation
        Cut-off 0 for a plane that is flat or shorter than 9 pixels.
    """
    rows, columns = (n - 1 + n % 2 for n in plane.shape)  # odd
    if min(rows, columns) < SMALLEST:
        return Decorrelation(0.0, float("nan"))
    faded, mean = _faded(np.asarray(plane[:rows, :columns], float))
    radius, magnitude = _spectrum(faded, along_rows)
    if not magnitude.any():
        return Decorrelation(0.0, float("nan"))
    curves = _Curves(radius, magnitude)
    radii = np.linspace(0, 1, RADII)
    _, a0 = _local_maximum(curves.with_zero(abs(faded.sum() + mean * faded.size), radii))
    place, amplitude = _local_maximum(curves.at(None, radii))
    first = float(radii[place])
    strongest = max(rows, columns) / 2 if first == 0 else 2 / first
    filters = [rows / 4, *np.geomspace(strongest, NARROWEST, FILTERS)]
    cutoffs = [curves.peak(g, radii) for g in filters]
    if amplitude >= LEAST_AMPLITUDE:
        filters, cutoffs = [float(rows), *filters], [first, *cutoffs]
    best = min(len(cutoffs) - 1 - int(np.argmax(cutoffs[::-1])), len(cutoffs) - 2)  # the last one
    top = max(cutoffs)
    finer = np.linspace(max(top - radii[1], 0), min(top + REFINED, 1), RADII)
    refined = max(
        curves.peak(g, finer) for g in np.geomspace(filters[best], filters[best + 1], FILTERS)
    )
    return Decorrelation(refined or top, a0)


class _Curves:
    """d(r) of one spectrum; since filters depend on r alone, sums over sorted radii give it."""

    def __init__(self, radius: Array, magnitude: Array) -> None:
        order = np.argsort(radius)
        self.radius, self.magnitude = radius[order], magnitude[order]

    def peak(self, g: float, radii: Array) -> float:
        """Return the radius of the local maximum behind a filter, 0 where it is too low."""
        place, height = _local_maximum(self.at(g, radii))
        return float(radii[place]) if height >= LEAST_AMPLITUDE else 0.0

    def at(self, g: float | None, radii: Array) -> Array:
        """Return d at some radii, behind the high-pass filter g (None = no filter)."""
        values = self.magnitude
        if g is not None:
            values = values * (1 - np.exp(-2 * g**2 * self.radius**2))
        sums = np.concatenate([[0.0], np.cumsum(values)])
        count = np.searchsorted(self.radius, radii, side="left")
        norm = np.sqrt(np.sum(values**2) * np.maximum(count, 1))
        return sums[count] / norm if norm[0] > 0 else np.zeros(len(radii))

    def with_zero(self, magnitude: float, radii: Array) -> Array:
        """Return d at some radii, unfiltered, with this magnitude at frequency 0.

        The spectrum here is one half of the plane, in which frequency 0 counts half.
        """
        values = self.magnitude[self.radius > 0]
        sums = magnitude / 2 + np.concatenate([[0.0], np.cumsum(values)])
        count = np.searchsorted(self.radius[self.radius > 0], radii, side="left")
        norm = np.sqrt((magnitude**2 / 2 + np.sum(values**2)) * (count + 0.5))
        return np.where(radii > 0, sums[count] / norm, 0.0)


def _spectrum(image: Array, along_rows: bool) -> tuple[Array, Array]:
    """Return radius (1 = Nyquist) and magnitude of the frequencies with radius below 1."""
    spectrum = np.abs(fft.fftshift(fft.rfft2(image), axes=0))
    v = np.linspace(-1, 1, image.shape[0])[:, None]
    u = np.linspace(0, 1, spectrum.shape[1])
    radius = np.hypot(v, u)
    chosen = radius < 1
    chosen[: image.shape[0] // 2, 0] = False  # the other half of the column is its mirror image
    if along_rows:
        chosen &= np.abs(v) * np.tan(SECTOR) >= u
    return radius[chosen], spectrum[chosen]


def _faded(image: Array) -> tuple[Array, float]:
    """Fade to the mean over `EDGE` pixels towards edges and missing pixels (cosine).

    Returns the image less its mean, and the mean.
    """
    known = np.isfinite(image)
    mean = float(image[known].mean())
    edge = min(EDGE, min(image.shape) // 4)
    weight = np.outer(*(fade(n, edge) for n in image.shape))
    weight *= fade_missing(known, (edge, edge))
    return weight * np.where(known, image - mean, 0), mean


def _local_maximum(curve: Array) -> tuple[int, float]:
    """Find the maximum that is followed by a fall: drop the last sample while it is the maximum."""
    end = len(curve)
    while end > 1:
        place = int(np.argmax(curve[:end]))
        if place == 0:
            break
        if place < end - 1 and curve[place] - curve[place:end].min() >= FALL:
            return place, float(curve[place])
        end -= 1
    return 0, float(curve[0])
