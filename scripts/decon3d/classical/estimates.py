"""Richardson-Lucy estimates of blocks: a restoration's result, or what a network looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decon3d.classical.device import CPU, Device
from decon3d.classical.operators import Blur, Shape
from decon3d.classical.recipe import Recipe
from decon3d.classical.richardson_lucy import FloatArray


@dataclass(frozen=True)
class Run:
    """One run of an iteration, and where on its way it is looked at."""

    recipe: Recipe
    iterations: tuple[int, ...]
    """Ascending, from 1. The last estimate gets the light of the image (`Recipe.restored`). Those
    on the way are as the iteration has them, which costs next to nothing."""


class Estimator:
    """Computes estimates of blocks; the blur's transfer function is kept per block shape.

    Parameters
    ----------
    runs
        What to compute; all with the same back projector.
    psf
        As for `operators.Blur`.
    threads
        Threads of the transforms, on the CPU.
    device
        Where to compute; blocks go there and estimates come back.
    """

    def __init__(
        self, runs: Sequence[Run], *, psf: ArrayLike, threads: int, device: Device = CPU
    ) -> None:
        self.runs = tuple(runs)
        self._psf = psf
        self._threads = threads
        self._device = device
        self._models: dict[Shape, Blur] = {}

    @property
    def count(self) -> int:
        """Number of estimates."""
        return sum(len(run.iterations) for run in self.runs)

    def __call__(
        self,
        block: NDArray[Any],
        *,
        origin: tuple[int, int, int] = (0, 0, 0),
        out: FloatArray | None = None,
    ) -> FloatArray:
        """Estimate a block of counts (Z, Y, X, any real dtype).

        Parameters
        ----------
        origin
            The block's first voxel in the volume (Z, Y, X).
        out
            Where the result goes; None = a new array.

        Returns
        -------
        array (estimates, Z, Y, X), float32
            In counts ≥ 0, background included, in the order of the runs and their iterations.
        """
        model = self._model(block.shape)  # type: ignore[arg-type]
        result = np.empty((self.count, *block.shape), np.float32) if out is None else out
        done = 0
        for run in self.runs:
            estimates = run.recipe.estimates(
                block, model=model, iterations=run.iterations, origin=origin
            )
            for k, estimate in estimates:
                if k == run.iterations[-1]:
                    result[done] = run.recipe.restored(block, estimate, model=model, overwrite=True)
                else:
                    result[done] = model.device.get(estimate)
                    result[done] += np.float32(run.recipe.background)
                done += 1
        return result

    def _model(self, shape: Shape) -> Blur:
        if shape not in self._models:
            self._models = {}  # the last shape's goes first
            make = self.runs[0].recipe.model
            self._models[shape] = make(
                shape, psf=self._psf, threads=self._threads, device=self._device
            )
        return self._models[shape]
