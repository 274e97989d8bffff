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

    coma = Optics(**OIL, aberrations={"coma_x": 0.1})

    def full_pupil(voxel_size_um, shape):
        theoretical_psf(
            optics=coma, emission_um=0.525, voxel_size_um=voxel_size_um, shape=shape
        )  # after the first call the focus is known, as for every other volume of a run

    for voxel, shape in (((0.02,) * 3, (101,) * 3), ((0.2, 0.1, 0.1), (35, 71, 71))):
        name = f"full-pupil PSF (coma), NA 1.4, {' × '.join(map(str, shape))} of {voxel} µm"
        yield Row(name, seconds(lambda v=voxel, s=shape: full_pupil(v, s), runs=2), "s")
