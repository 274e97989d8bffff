"""Networks in front of hardly anything: each volume under its own statistics."""

import numpy as np
import pytest

from decon3d.restoration.arrays import restore_array
from decon3d.restoration.prepare import prepare_network
from decon3d.restoration.restorers import open_restorer
from decon3d.volumes.statistics import ChannelStatistics
from support.deconvolution import PSF, boxes
from support.small_networks import small, write


@pytest.fixture(scope="module", params=["rln", "care"])
def restored(request, tmp_path_factory):
    """Restores an image by a small network with random weights."""
    folder = tmp_path_factory.mktemp(request.param)
    write(folder, small(request.param), request.param)

    def restore(image, camera_offset):
        statistics = ChannelStatistics.of_image(image, camera_offset=camera_offset)
        state = prepare_network(folder, statistics=statistics, psf=PSF)
        print(request.param, statistics.normalisation)
        return restore_array(image, open_restorer(state, threads=1), state)

    return restore


@pytest.mark.parametrize("photons", [25.0, 200.0])
@pytest.mark.parametrize("camera_offset", [None, 0.0])
def test_a_specimen_is_the_same_in_more_darkness(restored, photons, camera_offset):
    rng = np.random.default_rng(1)
    image = rng.poisson(10, (40, 60, 60)).astype(np.uint16)
    where = np.s_[10:30, 12:48, 12:48]
    image[where] = boxes(photons=photons)[0]
    dark = rng.poisson(10, (80, 120, 120)).astype(np.uint16)
    dark[:40, :60, :60] = image
    one = restored(image, camera_offset)[where]
    eight = restored(dark, camera_offset)[where]
    change = np.linalg.norm(one - eight) / np.linalg.norm(one - np.median(one))
    light = (eight - 10).sum() / (one - 10).sum() - 1
    print(f"L2 {change:.4f}, summed light {light:.4f}")
    assert change < 0.01
