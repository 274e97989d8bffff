"""Real cells under a lattice light sheet: counts survive a restoration."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from decon3d import settings
from decon3d.classical.photons import photon_scale
from decon3d.evaluation.deviance import held_out, restore_chain
from decon3d.evaluation.noise import measure_noise
from decon3d.optics.measured import psf_from_file
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.prepare import prepare_classical
from decon3d.restoration.restorers import open_restorer
from decon3d.settings import METHOD_KINDS
from decon3d.volumes.camera import Camera, resolve_camera
from decon3d.volumes.correlated_noise import CORRELATED, neighbour_correlation
from decon3d.volumes.photon_transfer import measure_camera
from decon3d.volumes.statistics import ChannelStatistics

OFFSET = 98.0


@pytest.fixture(scope="module")
def cells(reference_data):
    """The volume and its PSF."""
    volume = tifffile.imread(reference_data / "lightsheet" / "volume.tif")
    psf = psf_from_file(
        reference_data / "lightsheet" / "psf.tif",
        voxel_size_um=(0.1, 0.1019, 0.1019),
        target_voxel_size_um=(0.157, 0.1019, 0.1019),
        accept_pedestal=True,
    )
    return volume, psf


def test_the_integrated_intensity_of_cells_stays(cells):
    """Above the local background, within 5 %.

    A cell's region is what exceeds the background by 3 σ in a smoothed image, and a rim of six
    voxels, so that it holds the light that the blur spreads around the cell; that light comes back
    into the cell. The local background is a mean further out, as the intensity is a sum: a
    restoration gathers the faint haze around the cell into grains, so that its median falls to the
    camera's offset while its mean stays.
    """
    image, psf = cells
    settings = {"kind": "rltv", "iterations": 20, "tv_weight": 0.001}
    statistics = ChannelStatistics.of_image(image, camera_offset=OFFSET)
    method = METHOD_KINDS["rltv"].model_validate(settings)
    camera = Camera(offset=OFFSET, read_noise=1.5)
    state = prepare_classical(method, statistics=statistics, psf=psf, tuned={}, camera=camera)
    restored = restore_array(image, open_restorer(state, threads=2), state)

    smooth = ndimage.gaussian_filter(image.astype(np.float32), 2)
    region = ndimage.binary_opening(
        smooth > statistics.background + 3 * statistics.background_sigma, iterations=2
    )
    labels, _ = ndimage.label(region)
    sizes = np.bincount(labels.ravel())[1:]
    regions = [labels == 1 + i for i in np.flatnonzero(sizes > 8000)]
    assert regions
    for cell in regions:
        cell = ndimage.binary_dilation(cell, iterations=6) & ((labels == 0) | cell)
        shell = ndimage.binary_dilation(cell, iterations=6) & (labels == 0) & ~cell
        before, after = (
            (values[cell] - values[shell].mean(dtype=np.float64)).sum(dtype=np.float64)
            for values in (image.astype(np.float32), restored)
        )
        print(f"{cell.sum()} voxels: restored / raw = {after / before:.4f}")
        assert after == pytest.approx(before, rel=0.05)
    assert restored.max() > 1.3 * image.max()


def test_held_out_photons_pick_a_number_of_iterations(cells):
    """An interior one; and it is said that deskewing has made the noise of neighbours alike."""
    image, psf = cells
    sample = [image[:32, 96:288, 96:192], image[32:64, 192:288, 192:288]]
    configured = settings.CameraSection(offset=OFFSET, read_noise=1.5)
    camera = resolve_camera(configured, measure_camera(sample))
    scale = photon_scale(camera)
    statistics = ChannelStatistics.of_image(image, camera_offset=OFFSET)
    found = {}
    for iterations in (6, 45, 100):
        method = METHOD_KINDS["rl"].model_validate({"kind": "rl", "iterations": iterations})
        state = prepare_classical(method, statistics=statistics, psf=psf, tuned={}, camera=camera)
        restore = restore_chain([state], threads=1)
        block = image[:32, 112:176, 112:176]
        found[iterations] = held_out(block, restore=restore, psf=psf, scale=scale, seed=1).deviance
    print(found)
    assert found[45] < found[6] and found[45] < found[100]
    noise = measure_noise(sample, camera=camera)
    assert neighbour_correlation(noise.correlation) > CORRELATED
