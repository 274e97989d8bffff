"""What is fixed for all blocks of a channel, and the iteration that follows from it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decon3d.classical.back_projectors import iterate_unmatched, unmatched_blur
from decon3d.classical.coarse_to_fine import binned, bins_of, iterate_coarse_to_fine
from decon3d.classical.consensus import iterate_consensus
from decon3d.classical.device import CPU, Device
from decon3d.classical.kind import Prior
from decon3d.classical.light import DARKEST, with_light_of
from decon3d.classical.operators import Blur, Shape
from decon3d.classical.photons import PhotonScale
from decon3d.classical.registry import CLASSICAL
from decon3d.classical.richardson_lucy import Acceleration, FloatArray, iterate, unknown

BackProjector = Literal["matched", "wiener_butterworth"]


@dataclass(frozen=True)
class Recipe:
    """Constants of a restoration; counts, axes Z Y X."""

    background: float
    """Mean counts of an empty place, camera offset included."""
    initial: float
    """Brightness in counts above the background that floors are relative to, the same for all
    blocks; the start itself is made from the data (`richardson_lucy.first_estimate`)."""
    voxel_size_um: tuple[float, float, float]
    tv_weight: float = 0.0
    """λ of the total variation; 0 = none."""
    roughness_weight: float = 0.0
    """λ of Good's roughness; 0 = none."""
    acceleration: Acceleration = "heavy_ball"
    back_projector: BackProjector = "matched"
    dark_level: float = 0.0
    """Counts that carry no shot noise: the camera's offset, less the variance of the read noise in
    photons² times the gain. It is taken from the image and from the model, so that the variance is
    right in the dark (Snyder et al. 1995). May be negative. Left in the model, an offset of 100
    counts damps the steps of a dim image: the same optimum takes up to 3 times the iterations."""
    damping: float = 0.0
    """Counts ≥ 0 that are added to the image and to the model alike, as if empty places had so much
    more variance: it slows the growth of specks in the dark, and of dim structure less."""
    photons: PhotonScale | None = None
    """The camera's scale, where voxels stop by gradient consensus."""
    seed: int = 0
    """Of the consensus' halves."""
    lowest: float = 0.0
    """Restored counts are no lower. Below 0 where the data are: a camera without an offset whose
    counts are not cut at 0; else the noise of dark places would become light."""
    saturation: float | None = None
    """Counts at and above which a voxel is saturated; None = the largest value of an integer image,
    none of a float one."""
    kind: str = "rl"
    """The kind of method, which may have an iteration of its own."""
    options: Mapping[str, float] = field(default_factory=dict)
    """Settings of that iteration."""
    coarse_to_fine: bool = False
    """Start with iterations on binned data; see `coarse_to_fine`."""
    coarse_iterations: int = 0
    """Number of these; numbers of iterations then count those on the full grid. 0 = as many as the
    number of iterations, and some on the full grid."""

    @classmethod
    def load(cls, values: dict[str, Any], *, kind: str = "rl") -> "Recipe":
        """Make a recipe of what `values` returned, read back from JSON."""
        photons = values["photons"] and PhotonScale(**values["photons"])
        return cls(
            **{**values, "voxel_size_um": tuple(values["voxel_size_um"]), "photons": photons},
            kind=kind,
        )

    @property
    def values(self) -> dict[str, Any]:
        """All constants but the kind, JSON-able."""
        values = {**asdict(self), "voxel_size_um": list(self.voxel_size_um)}
        del values["kind"]
        for name in ("options", "coarse_to_fine", "coarse_iterations"):
            if not values[name]:
                del values[name]
        return values

    def starts_coarse(self, psf: FloatArray) -> bool:
        """Say whether the iterations start on binned data: not where the PSF is too narrow."""
        return self.coarse_to_fine and max(bins_of(psf)) > 1

    def with_prior(self, prior: Prior, weight: float) -> "Recipe":
        """Return the recipe with another λ of a prior."""
        changes: dict[str, Any] = {prior: weight}
        return replace(self, **changes)

    def binned(self, image: NDArray[Any], bins: Sequence[int]) -> tuple[FloatArray, "Recipe"]:
        """Bin an image (Z Y X, counts), and return the recipe that restores it on its own grid.

        A coarse voxel with one that is saturated or without data has no data.
        """
        left_out = unknown(image, self.largest(image))
        known = image if left_out is None else np.where(left_out, np.float32(np.nan), image)
        z, y, x = (size * n for size, n in zip(self.voxel_size_um, bins, strict=True))
        recipe = replace(self, voxel_size_um=(z, y, x), coarse_to_fine=False, saturation=None)
        return binned(known, bins), recipe

    def model(self, shape: Shape, *, psf: ArrayLike, threads: int, device: Device = CPU) -> Blur:
        """Make the forward model of an image shape; see `operators.Blur`."""
        make = unmatched_blur if self.back_projector == "wiener_butterworth" else Blur
        return make(shape, psf=psf, threads=threads, device=device)

    def estimates(
        self,
        image: NDArray[Any],
        *,
        model: Blur,
        iterations: Iterable[int],
        origin: tuple[int, int, int] = (0, 0, 0),
    ) -> Iterator[tuple[int, FloatArray]]:
        """Yield (number of iterations, estimate after so many) for ascending numbers, from 1.

        The estimates are as `iterate` describes them. With `coarse_to_fine`, the numbers also
        decide which iterations run on the full grid.
        """
        if self.starts_coarse(model.psf):
            image, options = self._prepared(image)
            del options["acceleration"], options["start"]
            estimates = iterate_coarse_to_fine(
                image,
                model=model,
                iterations=iterations,
                origin=origin,
                coarse_iterations=self.coarse_iterations,
                **options,
            )
            del image
            yield from estimates
            return
        numbers = tuple(iterations)
        steps = self.iterate(image, model=model, origin=origin)
        del image
        for number in numbers:
            step = next(step for step in steps if step[0] == number)
            if number == numbers[-1]:
                del steps  # its arrays are not needed any more
            yield step

    def iterate(
        self, image: NDArray[Any], *, model: Blur, origin: tuple[int, int, int] = (0, 0, 0)
    ) -> Iterator[tuple[int, FloatArray]]:
        """Iterate without end on the full grid; yield (iteration from 1, estimate above b).

        Voxels that are NaN have no data. The estimate is a view of the array on the model's whole
        domain (its `base`), which holds until the next step, on the model's device.
        """
        own = CLASSICAL[self.kind].iterate
        if own is not None:
            yield from own(image, self, model)
            return
        if self.back_projector == "wiener_butterworth":
            yield from iterate_unmatched(
                image,
                model=model,
                background=self.background,
                initial=self.initial,
                damping=self.damping,
            )
            return
        if self.photons is not None:
            for k, estimate, _ in self.consensus(image, model=model, origin=origin):
                yield k, estimate
            return
        image, options = self._prepared(image)
        steps = iterate(
            image, model=model, even_noise=True, roughness_weight=self.roughness_weight, **options
        )
        del image  # while it iterates, `steps` keeps what it needs
        yield from steps

    def consensus(
        self, image: NDArray[Any], *, model: Blur, origin: tuple[int, int, int] = (0, 0, 0)
    ) -> Iterator[tuple[int, FloatArray, Any]]:
        """Iterate as `iterate` does with `photons`; yield the share of moving voxels, too."""
        assert self.photons is not None
        image, options = self._prepared(image)
        offset = self.photons.offset - self.dark_level + self.damping
        scale = replace(self.photons, offset=offset)
        yield from iterate_consensus(
            image, model=model, scale=scale, seed=self.seed, origin=origin, **options
        )

    def restored(
        self,
        image: NDArray[Any],
        estimate: FloatArray,
        *,
        model: Blur,
        overwrite: bool = False,
    ) -> FloatArray:
        """Return restored counts: an estimate and the background, with the light of the image.

        Parameters
        ----------
        image
            Counts (Z Y X), as given to `iterate`; NaN = no data.
        estimate
            What `iterate` or `estimates` yielded last.
        overwrite
            The estimate may be changed, which saves the memory of a copy; no iteration follows.

        Returns
        -------
        array (Z Y X), float32, NumPy's
            Counts ≥ `lowest`, background included. The blurred result has the image's total, in
            every region a few times wider than the PSF, too; see `light`.
        """
        device = model.device
        dark = np.float32(min(self.dark_level, self.background))
        # Neither an unmatched back projector nor voxels that stop early fit the counts' totals;
        # Good's roughness costs dim places up to 2 % of their light.
        matched = self.back_projector == "matched"
        likeliest = matched and self.photons is None and not self.roughness_weight
        likeliest &= CLASSICAL[self.kind].iterate is None
        level = float(np.float32(self.background) - dark)
        whole = np.asarray(device.get(cast(FloatArray, estimate.base)))
        result = with_light_of(
            np.subtract(image, dark, dtype=np.float32),
            whole if overwrite else whole.copy(),
            blur=lambda x: device.get(model.forward(device.put(x))),
            inside=model.inside,
            level=level,
            darkest=-DARKEST * (level + self.damping),
            size=model.neighbourhood,
            wide=model.wide_neighbourhood,
            times=1 if likeliest else 2 if matched else 3,
            unknown=unknown(image, self.largest(image)),
            slabs=model.slabs,
        )
        result += dark
        return np.maximum(result, np.float32(self.lowest))

    def largest(self, image: NDArray[Any]) -> float | None:
        """Return the counts at and above which an image's voxels are saturated; None = none are."""
        if self.saturation is None and image.dtype.kind in "ui":
            return float(np.iinfo(image.dtype).max)
        return self.saturation

    def _prepared(self, image: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        """Take the dark level, less the damping, from the image and from the model."""
        dark = self.dark_level - self.damping
        largest = self.largest(image)
        if dark:
            image = image.astype(np.float32) - np.float32(dark)
        return image, {
            "background": self.background - dark,
            "initial": self.initial,
            "tv_weight": self.tv_weight,
            "voxel_size_um": self.voxel_size_um,
            "acceleration": self.acceleration,
            "start": "data",
            "saturation": None if largest is None else largest - dark,
        }
