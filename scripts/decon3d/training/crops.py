"""Crops for training, drawn from pairs of volumes; step k's crops depend on (seed, k) alone."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.errors import ArrayNotFoundError, GroupNotFoundError

from decon3d.blocks.geometry import triple
from decon3d.errors import UserError
from decon3d.logs import progress
from decon3d.networks.description import MicroscopeRange
from decon3d.networks.inputs import MakesEstimates, network_input
from decon3d.optics.psf import Psf
from decon3d.seeds import generator
from decon3d.training.augmentation import Augmentation, Shape, moved, turns_over
from decon3d.training.own_microscopes import OwnMicroscopes
from decon3d.volumes.camera import Camera
from decon3d.volumes.channel_accumulator import mark_image
from decon3d.volumes.checked_stores import open_group
from decon3d.volumes.no_data import missing
from decon3d.volumes.normalisation import Histogram, Normalisation, darkest_place
from decon3d.volumes.statistics import ChannelStatistics

FOREGROUND_SHARE = 0.8
"""Smallest true mean of a crop, relative to its volume's (Li et al., Nature Methods 2022)."""
TRIES = 20
"""Draws of a crop; the published search has no end."""
AHEAD = 8
"""Batches that are made in advance."""
T = TypeVar("T")


@dataclass(frozen=True)
class Pairs:
    """Volumes in network units, held in memory.

    Attributes
    ----------
    images, objects
        Blurred and true volumes (n, Z, Y, X), float32; both under the image's normalisation.
    normalisations
        The map from counts, one per volume.
    noise
        Standard deviation of each image's background, in network units.
    made_as
        The store's attributes: recipes and the range of photons, or specimens; the method that
        restored its images, if any.
    estimates
        The network's inputs beside the images (n, k, Z, Y, X), float32; None = none.
    microscopes
        Of what microscopes they are, where each has its own; None = all of one.
    """

    images: NDArray[np.float32]
    objects: NDArray[np.float32]
    normalisations: tuple[Normalisation, ...]
    noise: tuple[float, ...]
    made_as: dict[str, Any]
    estimates: NDArray[np.float32] | None = None
    microscopes: MicroscopeRange | None = None

    @property
    def digest(self) -> str:
        """Hash of the voxels."""
        every = (self.images, self.objects, self.estimates)
        return "".join(f"{crc32(volumes.data):08x}" for volumes in every if volumes is not None)

    def inputs(self, volume: int) -> list[NDArray[np.float32]]:
        """Return the input channels of one volume, each (Z, Y, X)."""
        return [self.images[volume], *(() if self.estimates is None else self.estimates[volume])]

    @property
    def shape(self) -> Shape:
        """Voxels of one volume (Z, Y, X)."""
        z, y, x = self.images.shape[1:]
        return z, y, x


def load_pairs(
    store: str | Path,
    *,
    camera_offset: float | None,
    estimator: Callable[[ChannelStatistics, Psf | None, Camera | None], MakesEstimates]
    | None = None,
    threads: int = 1,
) -> Pairs:
    """Read a store of pairs and normalise each volume as in `volumes.normalisation`.

    Tiles of one measured volume (the store's attribute `pair`) share its normalisation.

    Parameters
    ----------
    store
        Zarr v3 group with the arrays `image` and `object`, (n, Z, Y, X), counts.
    camera_offset
        Counts of a dark image; None = each image's background level. Not used where every volume
        has its own microscope.
    estimator
        Makes an estimator of the object from an image's statistics, and the PSF and camera of its
        own microscope, if it has one; for networks with estimates as inputs. Estimates are made
        of whole images.
    threads
        Images that are processed in parallel.

    Raises
    ------
    UserError
        If the store is missing or is not a store of pairs.
    """
    try:
        group = open_group(store)
        image: Any = group["image"]
        truth: Any = group["object"]
    except (GroupNotFoundError, ArrayNotFoundError, FileNotFoundError, KeyError):
        raise UserError(
            f"{store}: not a store of training pairs; give a zarr group with the arrays `image` "
            "and `object`"
        ) from None
    if len(image.shape) != 4 or image.shape != truth.shape or not image.shape[0]:
        raise UserError(
            f"{store}: `image` has the shape {image.shape}, `object` the shape {truth.shape}; "
            "give both the same shape (n, Z, Y, X) with n ≥ 1"
        )
    images = np.empty(image.shape, np.float32)
    objects = np.empty(image.shape, np.float32)
    attributes: Any = group.attrs
    whole: Any = attributes.get("pair", range(image.shape[0]))
    histograms: dict[int, Histogram] = {}
    darkest: dict[int, float] = {}
    own = OwnMicroscopes.of(group)
    offsets = [own.known_offset(i) if own else camera_offset for i in range(image.shape[0])]
    for index in range(image.shape[0]):
        images[index] = marked = mark_image(image[index], camera_offset=offsets[index])
        part, known = Histogram.of(marked), histograms.get(whole[index])
        histograms[whole[index]] = part if known is None else known + part
        dark = darkest_place(marked)
        darkest[whole[index]] = min(dark, darkest.get(whole[index], np.inf))

    def load(index: int) -> tuple[Normalisation, float, NDArray[np.float32]]:
        histogram = histograms[whole[index]]
        statistics = ChannelStatistics.of(
            histogram, camera_offset=offsets[index], darkest=darkest[whole[index]]
        )
        law = statistics.normalisation
        absent = missing(images[index])
        made = None
        if estimator is not None:
            psf = own.psf(index) if own else None
            camera = own.camera(index, images[index]) if own else None
            made = estimator(statistics, psf, camera)
        inputs = network_input(
            images[index], law=law, estimator=made, background=statistics.background
        )
        images[index], objects[index] = inputs[0], law.apply(truth[index])
        if absent is not None:  # nothing to learn there: the truth is empty, too
            objects[index][absent] = images[index][absent]
        return law, histogram.background()[1] / law.scale, inputs[1:]

    with ThreadPoolExecutor(threads) as pool:
        loaded = progress(
            pool.map(load, range(len(images))), total=len(images), what="pairs", unit="volume"
        )
        laws, noise, estimates = zip(*loaded, strict=True)
    return Pairs(
        images,
        objects,
        laws,
        noise,
        _made_as(group),
        np.stack(estimates) if estimator else None,
        own.range() if own else None,
    )


def _made_as(group: zarr.Group) -> dict[str, Any]:
    """Sum up the attributes of a store of pairs; stores from elsewhere may have none."""
    made: dict[str, Any] = {}
    attributes: Any = group.attrs
    if "photons" in attributes:
        lit = [photons for photons in attributes["photons"] if photons]  # others are empty
        made["photons"] = [min(lit, default=0.0), max(lit, default=0.0)]
    if "recipes" in attributes:
        made["recipes"] = dict(sorted(Counter(attributes["recipes"]).items()))
    if "specimens" in attributes:
        made["specimens"] = sorted(set(attributes["specimens"]))
    if "source" in attributes:
        made["source"] = attributes["source"]
    return made


def fitting_crop(crop: Shape, volume: Shape, stride: Shape) -> Shape:
    """Cut a crop's shape to the volume's and down to multiples of the stride (Z, Y, X).

    Raises
    ------
    UserError
        If the volume is smaller than the stride.
    """
    fitting = triple(min(c, v) // s * s for c, v, s in zip(crop, volume, stride, strict=True))
    if not all(fitting):
        raise UserError(
            f"training volumes of {volume} voxels (Z, Y, X) are too small; the network needs at "
            f"least {stride}: raise phantoms.shape or pairs.shape"
        )
    return fitting


def draw(
    pairs: Pairs, *, step: int, seed: int, batch: int, crop: Shape, augmentation: Augmentation
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw the crops of one training step.

    A crop is drawn again, at most `TRIES` times, until its true mean is at least
    `FOREGROUND_SHARE` of its volume's; then the brightest seen is taken.

    Parameters
    ----------
    pairs
        The pairs.
    step, seed
        The draw depends on these alone.
    batch
        Crops.
    crop
        Voxels of a crop (Z, Y, X), no larger than the volumes.
    augmentation
        How crops are varied; its moves fit the crop.

    Returns
    -------
    tuple
        Inputs (batch, Z, Y, X, channels) and objects (batch, Z, Y, X, 1), float32, network units.
    """
    rng = generator(seed, "crops", step)
    inputs = np.empty((batch, *crop, len(pairs.inputs(0))), np.float32)
    objects = np.empty((batch, *crop, 1), np.float32)
    for index in range(batch):
        volume = int(rng.integers(len(pairs.images)))
        move, factor = augmentation.draw(rng)
        z, y, x = crop
        size = (z, x, y) if turns_over(move) else crop
        room = np.subtract(pairs.shape, size) + 1
        enough = FOREGROUND_SHARE * pairs.objects[volume].mean()
        best = -np.inf
        for _ in range(TRIES):
            corner = rng.integers(0, room)
            where = tuple(slice(a, a + n) for a, n in zip(corner, size, strict=True))
            mean = pairs.objects[volume][where].mean()
            if mean > best:
                best, chosen = mean, where
            if mean >= enough:
                break
        for channel, values in enumerate(pairs.inputs(volume)):
            inputs[index, ..., channel] = factor * moved(values[chosen], move)
        objects[index, ..., 0] = factor * moved(pairs.objects[volume][chosen], move)
    return inputs, objects


def prefetched(make: Callable[[int], T], steps: range) -> Iterator[T]:
    """Yield `make(step)` for each step in order, up to `AHEAD` of them made in advance.

    Parameters
    ----------
    make
        Makes the batch of a step; called in one thread.
    steps
        The steps.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="crops") as pool:
        waiting = deque(pool.submit(make, step) for step in steps[:AHEAD])
        try:
            for step in [*steps[AHEAD:], *[None] * len(waiting)]:
                ready = waiting.popleft().result()
                if step is not None:
                    waiting.append(pool.submit(make, step))
                yield ready
        finally:
            for future in waiting:
                future.cancel()
