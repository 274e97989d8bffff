"""Find the one bead of an image and remove everything else."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from decon3d.errors import UserError
from decon3d.optics.arrays import Array, Mask, spread

DETECTION_SIGMAS = 8.0
"""Height of a bead over the noise of the smoothed image."""
SUPPORT_SIGMAS = 3.0
"""Level over the noise of the smoothed image down to which the bead is followed."""
OTHER_BEAD = 0.05
"""Height, relative to the bead, from which another maximum far away is another bead."""
CLOSE_BEAD = 0.2
"""The same for maxima closer than `CLOSE`, where lobes and rings of the PSF itself lie."""
CLOSE = 4.0
"""Distance in FWHM below which two beads' images cannot be separated."""
DEEPEST_LOBE = 0.05
"""Depth of negative lobes, relative to the peak, that no measured intensity has."""
SMOOTHED = (2 * np.sqrt(np.pi)) ** -1.5
"""What a Gaussian of σ 1 voxel leaves of white noise, in 3D."""
_TAPER = 4  # voxels over which the bead fades out beyond its support
_RING = (5, 11)  # voxels beyond the support in which the local background is taken


@dataclass(frozen=True)
class _Detection:
    """The brightest bead of a smoothed image.

    Attributes
    ----------
    width
        Extent of the core along Z, Y, X, in voxels.
    """

    smooth: Array
    sigma: float
    peak: tuple[int, ...]
    height: float
    core: Mask
    width: Array


@dataclass(frozen=True)
class Isolated:
    """The one bead of an image.

    Attributes
    ----------
    data
        float64, axes Z Y X, shape of the image, not negative; 0 away from the bead.
    weight
        1 where the image was kept, 0 where it was not, between them at the edge of the support.
    record
        Noise, bead, other beads, local background, voxels mended, warnings; JSON-able.
    """

    data: Array
    weight: Array
    record: dict[str, Any]


def isolate_bead(
    data: Array, *, where: str, dark: Mask | None = None, everywhere: bool = False
) -> Isolated:
    """Cut the brightest bead out of an image.

    Parameters
    ----------
    data
        Axes Z Y X, the pedestal removed.
    where
        What to call the image in messages.
    dark
        Voxels without light, in which noise is measured; None = there are none: noise is measured
        from differences of neighbours at the image's faces.
    everywhere
        The bead's light fills the image (widefield): what lies around the support is light as
        well, not a local background.

    Raises
    ------
    UserError
        If there is no bead, it is cut by the edge or saturated, another is too close, or the
        image has deep negative lobes.

    Notes
    -----
    The bead's support is where the image, smoothed by one voxel, exceeds three standard
    deviations of its noise and hangs together with the peak. Inside it the values stay as they
    are, but for those below five standard deviations of the noise, which fade into the smoothed
    ones, so that clipping at 0 does not turn noise into light.
    """
    noise = _noise(data, dark)
    clean, hot = _without_hot_voxels(data, noise)
    found = _detect(clean, noise if dark is None else None, dark, where)
    _refuse_saturated(clean, found, where)
    warnings = _check_lobes(found, where)
    others, claimed = _other_beads(found, where, warnings)

    labels, _ = ndimage.label((found.smooth > SUPPORT_SIGMAS * found.sigma) & ~claimed)
    support = ndimage.binary_fill_holes(labels == labels[found.peak])
    distance = ndimage.distance_transform_edt(~support)
    ring = (distance > _RING[0]) & (distance < _RING[1]) & ~claimed
    local = float(np.median(clean[ring])) if ring.sum() > 100 and not everywhere else 0.0
    fade = np.where(distance < _TAPER, 0.5 + 0.5 * np.cos(np.pi * distance / _TAPER), 0)
    fade[claimed] = 0
    trust = np.clip(found.smooth / (5 * noise), 0, 1) if noise > 0 else 1.0
    bead = np.clip((trust * clean + (1 - trust) * found.smooth - local) * fade, 0, None)
    record = {
        "noise_counts": round(noise, 4),
        "bead": {
            "voxel": list(found.peak),
            "counts": round(float(bead.sum()), 2),
            "signal_to_noise": round(found.height / found.sigma, 1) if found.sigma > 0 else None,
        },
        "local_background_counts": round(local, 4),
        "other_beads_removed": others,
        "hot_voxels_mended": hot,
        "warnings": warnings,
    }
    return Isolated(bead, fade, record)


def _noise(data: Array, dark: Mask | None) -> float:
    """Standard deviation of a voxel's noise."""
    if dark is not None:
        return spread(data[dark])
    shell = outer_shell(data.shape)
    both = shell[..., 1:] & shell[..., :-1]
    return spread(np.diff(data, axis=2)[both]) / float(np.sqrt(2))


def outer_shell(shape: tuple[int, ...]) -> Mask:
    """Mark the outer eighth of the image, where pedestal and noise are measured."""
    shell = np.ones(shape, bool)
    shell[tuple(slice(max(n // 8, 1), n - max(n // 8, 1)) for n in shape)] = False
    return shell


def _without_hot_voxels(data: Array, noise: float) -> tuple[Array, int]:
    """Replace single voxels that tower over all their neighbours by the median around them."""
    around = np.ones((3, 3, 3), bool)
    around[1, 1, 1] = False
    neighbours = ndimage.maximum_filter(data, footprint=around)
    hot = data > 3 * np.maximum(neighbours, 0) + 6 * noise
    if not hot.any() or hot.sum() == (data > 0).sum():  # a PSF of one voxel is allowed
        return data, 0
    return np.where(hot, ndimage.median_filter(data, 3), data), int(hot.sum())


def _detect(clean: Array, noise: float | None, dark: Mask | None, where: str) -> _Detection:
    """Find the bead above the smoothed image's noise: of the dark voxels, or of white noise."""
    smooth = ndimage.gaussian_filter(clean, 1.0, mode="nearest")
    sigma = spread(smooth[dark]) if noise is None else SMOOTHED * noise
    peak = tuple(int(i) for i in np.unravel_index(int(smooth.argmax()), smooth.shape))
    height = float(smooth[peak])
    if height <= DETECTION_SIGMAS * sigma:
        raise UserError(
            f"{where}: no bead is above the noise (highest maximum: "
            f"{height / sigma if sigma else 0:.1f} standard deviations, {DETECTION_SIGMAS:g} are "
            "needed); record brighter beads or average several"
        )
    labels, _ = ndimage.label(smooth > height / 2)
    core = labels == labels[peak]
    box = ndimage.find_objects(core.astype(np.uint8))[0]
    for axis, part, n in zip("ZYX", box, core.shape, strict=True):
        if part.start == 0 or part.stop == n:
            raise UserError(
                f"{where}: the bead is cut off by the edge of the image along {axis} (voxel "
                f"{list(peak)} of {list(core.shape)}); choose another bead or a larger crop"
            )
    width = np.array([part.stop - part.start for part in box], float)
    return _Detection(smooth, sigma, peak, height, core, width)


def _refuse_saturated(clean: Array, found: _Detection, where: str) -> None:
    inside = clean[found.core]
    top = int((inside == inside.max()).sum())
    if top > 8:  # a symmetric computed PSF of even size has up to 8 equal voxels
        raise UserError(
            f"{where}: {top} voxels of the bead have the largest value, so it is saturated; record "
            "it with less light"
        )


def _check_lobes(found: _Detection, where: str) -> list[str]:
    depth = -float(found.smooth.min()) / found.height
    noise = found.sigma / found.height
    if depth > max(DEEPEST_LOBE, DETECTION_SIGMAS * noise):
        raise UserError(
            f"{where}: the image has negative lobes of {depth:.0%} of the peak, which light cannot "
            "have; use the recorded image, not a filtered or deconvolved one"
        )
    if depth > max(0.01, DETECTION_SIGMAS * noise):
        return [f"negative lobes of {depth:.1%} of the peak were set to 0"]
    return []


def _other_beads(
    found: _Detection, where: str, warnings: list[str]
) -> tuple[list[dict[str, Any]], Mask]:
    """List other beads and mark the voxels that are nearer to them than to the bead."""
    size = [2 * int(w // 2) + 1 for w in np.maximum(found.width, 3)]
    maxima = (found.smooth == ndimage.maximum_filter(found.smooth, size=size)) & ~found.core
    maxima &= found.smooth > max(OTHER_BEAD * found.height, DETECTION_SIGMAS * found.sigma)
    grid = np.ix_(*(np.arange(n) for n in found.smooth.shape))

    def squared_distance(place: tuple[int, ...]) -> Array:
        z, y, x = (((g - p) / w) ** 2 for g, p, w in zip(grid, place, found.width, strict=True))
        return z + y + x

    claimed = np.zeros(found.smooth.shape, bool)
    others = []
    for place in np.argwhere(maxima):
        offset = (place - found.peak) / found.width
        distance, lateral = np.linalg.norm(offset), np.linalg.norm(offset[1:])
        share = float(found.smooth[tuple(place)] / found.height)
        at = [int(i) for i in place]
        if distance < CLOSE or lateral < 2:
            if share > (CLOSE_BEAD if lateral >= 2 else 0.5):
                raise UserError(
                    f"{where}: a second maximum at voxel {at} has {share:.0%} of the height of the "
                    f"bead at {list(found.peak)} and is only {distance:.1f} FWHM away, too close "
                    f"to separate two beads ({CLOSE:g} FWHM are needed); choose another bead"
                )
            warnings.append(
                f"the side maximum at voxel {at} ({share:.0%} of the peak) is treated as part of "
                "the PSF"
            )
            continue
        others.append(
            {"voxel": at, "height": round(share, 4), "distance_fwhm": round(float(distance), 2)}
        )
        claimed |= squared_distance(tuple(at)) < squared_distance(found.peak)
    return others, claimed
