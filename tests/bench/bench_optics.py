"""Theoretical PSFs."""

from collections.abc import Iterator

from run import Row, seconds

from decon3d.optics.theory import theoretical_psf
from decon3d.settings import Optics

OIL = {"modality": "widefield", "numerical_aperture": 1.4, "immersion_index": 1.515}


def rows() -> Iterator[Row]:
    for model in ("vectorial", "scalar"):
        optics = Optics(**OIL, model=model)

        def make(optics=optics):
            theoretical_psf(
                optics=optics, emission_um=0.525, voxel_size_um=(0.02,) * 3, shape=(101,) * 3
            )

        goal = 0.5 if model == "vectorial" else None
        yield Row(f"{model} PSF, NA 1.4, 101³", seconds(make), "s", goal)
