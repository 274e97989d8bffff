"""The light that a restoration leaves over, Σ(g - Hx - b), by region, for tests."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from scipy.ndimage import binary_dilation, gaussian_filter, label

from decon3d.classical.kinds.rl import Rl
from decon3d.classical.kinds.rltv import Rltv
from decon3d.classical.recipe import Recipe
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.optics.theory import theoretical_psf
from decon3d.restoration.prepare import prepare_classical
from decon3d.settings import CameraSection, Optics
from decon3d.volumes.camera import resolve_camera
from decon3d.volumes.photon_transfer import measure_camera
from decon3d.volumes.statistics import ChannelStatistics

DIM = 90
"""Per cent of the voxels that are called dim."""
OTHER_ROWS = "dimmer half by other rows"
"""The dimmer half of a frame whose noise did not choose it. Where it did, its sum is too low: by
three standard deviations in the whole of `beads_8bit`."""


def light_left(
    image: np.ndarray, method: Rl | Rltv, *, psf: Psf
) -> Iterator[tuple[str, float, float, float]]:
    """Restore an image and sum what its blurred result leaves over.

    Parameters
    ----------
    image
        Counts (Z Y X).

    Yields
    ------
    region, Σ(g - Hx - b), Σ(g - b), standard deviation of the first by the noise
        In counts, for the frame, its dimmer half, the dimmest 90 % of the voxels, the dimmer half
        as every other row chooses it among the rows between, and each object with 3 voxels around
        it. The object beyond the faces is the iteration's.
    """
    camera = resolve_camera(CameraSection(), measure_camera([image]))
    statistics = ChannelStatistics.of_image(image, camera_offset=camera.known_offset)
    state = prepare_classical(
        method, statistics=statistics, psf=psf, tuned={}, camera=camera, sample=[image]
    )
    names = Recipe.__dataclass_fields__
    recipe = Recipe.load({k: v for k, v in state.values.items() if k in names})
    model = recipe.model(image.shape, psf=psf.data, threads=1)
    steps = recipe.estimates(image, model=model, iterations=[state.values["iterations"]])
    ((_, estimate),) = steps
    result = recipe.restored(image, estimate, model=model)
    # Light that was added continues beyond the faces.
    beyond = [(s.start, n - s.stop) for s, n in zip(model.inside, model.object_shape, strict=True)]
    whole = estimate.base + np.pad(result - estimate, beyond, mode="edge")
    left = image.astype(np.float32) - model.forward(whole)
    smooth = gaussian_filter(image.astype(np.float32), 1)
    variance = camera.gain * np.maximum(smooth - camera.dark_level, 0)
    for name, region in regions(image, smooth, recipe.background).items():
        light = (image[region] - recipe.background).sum(dtype=np.float64)
        noise = float(np.sqrt(variance[region].sum(dtype=np.float64)))
        yield name, float(left[region].sum(dtype=np.float64)), float(light), noise


def regions(image: np.ndarray, smooth: np.ndarray, background: float) -> dict[str, np.ndarray]:
    """Choose regions by an image (Z Y X), smoothed: the frame, dim parts, each bright object."""
    found = {"frame": np.ones(smooth.shape, bool), OTHER_ROWS: _dimmer_by_other_rows(image)}
    # Wide means: those of a few voxels would choose by the noise that is then summed.
    wide = gaussian_filter(smooth, (3, 7, 7))
    found["dimmer half"] = wide <= np.median(wide)
    found[f"dimmest {DIM} %"] = wide <= np.percentile(wide, DIM)
    objects, count = label(smooth > background + 0.3 * (smooth.max() - background))
    for i in range(1, count + 1):
        if (objects == i).sum() >= 20:
            found[f"object {i}"] = binary_dilation(objects == i, iterations=3)
    return found


def _dimmer_by_other_rows(image: np.ndarray) -> np.ndarray:
    """Choose the odd rows of the dimmer half of an image (Z Y X) by its even rows."""
    even = np.zeros(image.shape, np.float32)
    even[:, ::2] = 1
    wide = gaussian_filter(image * even, (3, 7, 7)) / gaussian_filter(even, (3, 7, 7))
    return (wide <= np.median(wide)) & (even == 0)


def haze_with_beads(data: Path) -> tuple[np.ndarray, Psf]:
    """Return the real beads in dim haze, 8 bits (Z Y X), and a PSF from theory."""
    image = tifffile.imread(data / "beads_8bit" / "stack.tif")
    voxel = (0.09997, 0.04439, 0.04439)
    optics = Optics(modality="confocal", numerical_aperture=1.4, immersion_index=1.518)
    psf = theoretical_psf(optics=optics, emission_um=0.58, excitation_um=0.543, voxel_size_um=voxel)
    return image, normalised_psf(psf, voxel, {})
