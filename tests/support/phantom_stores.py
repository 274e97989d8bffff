"""Small stores of simulated volumes."""

import numpy as np

from decon3d.optics.psf import Psf
from decon3d.phantoms.conditions import resolve_conditions
from decon3d.phantoms.stores import make_split
from decon3d.settings import Channel, Optics, Phantoms, Split
from decon3d.volumes.camera import Camera

PHANTOMS = Phantoms(
    shape=(8, 16, 16),
    test=Split(count=2, recipes={"rln_mixed": 1, "tubules": 1}),
)
VOXEL = (0.2, 0.1, 0.1)
OPTICS = Optics(modality="confocal", numerical_aperture=1.2, immersion_index=1.333)
PSF = Psf(np.pad(np.full((3, 3, 3), 1 / 27, np.float32), ((0, 0), (1, 1), (1, 1))), VOXEL)
OTHER_PSF = Psf(np.full((3, 3, 3), 1 / 27, np.float32), VOXEL)
LONG = Split(count=20, recipes={"nuclei": 1})


def make(path, **changes):
    phantoms, camera = changes.get("phantoms", PHANTOMS), changes.pop("camera", Camera())
    options = {
        "conditions": resolve_conditions(phantoms, camera=camera),
        "split": PHANTOMS.test,
        "name": "test",
        "phantoms": PHANTOMS,
        "psf": PSF,
        "optics": OPTICS,
        "channel": Channel(emission_um=0.525),
        "seed": 1,
        "stream": ("d", "c"),
    }
    make_split(path, **{**options, **changes})
    return path
