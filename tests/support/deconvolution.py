"""A PSF and blurred scenes with Poisson noise, for tests of deconvolution."""

import numpy as np

from decon3d.classical.operators import Blur
from decon3d.classical.photons import PhotonScale
from decon3d.optics.psf import normalised_psf
from decon3d.restoration.prepare import prepare_classical
from decon3d.volumes.statistics import ChannelStatistics
from support.gaussians import gaussian_psf

ONE = PhotonScale(0.0, 1.0, "config")
VOXEL = (0.2, 0.1, 0.1)
PSF = normalised_psf(gaussian_psf(), VOXEL, {})


def boxes(shape=(20, 36, 36), photons=25.0, seed=0):
    """Boxes of 4 × 6 × 6 voxels on a background of 10, blurred, with Poisson noise."""
    model = Blur(shape, psf=PSF.data)
    rng = np.random.default_rng(seed)
    truth = np.zeros(model.object_shape, np.float32)
    for _ in range(truth.size // 900):
        z, y, x = (rng.integers(0, n - 5) for n in truth.shape)
        truth[z : z + 4, y : y + 6, x : x + 6] += photons
    image = rng.poisson(np.maximum(model.forward(truth), 0) + 10).astype(np.float32)
    return image, truth[model.inside], model


def prepared(method, image, **options):
    """The state of a classical method for an image (Z Y X) with camera offset 10."""
    statistics = ChannelStatistics.of_image(image, camera_offset=options.pop("offset", 10))
    return prepare_classical(method, statistics=statistics, psf=PSF, tuned={}, **options)


def scene(shape=(24, 32, 32), background=10.0, photons=200.0, seed=0):
    """Points and a block, blurred with what lies beyond the faces, with Poisson noise."""
    model = Blur(shape, psf=gaussian_psf())
    rng = np.random.default_rng(seed)
    truth = (rng.random(model.object_shape) > 0.995).astype(np.float32) * photons * 10
    truth[12:18, 14:22, 14:22] += photons
    image = rng.poisson(np.maximum(model.forward(truth), 0) + background).astype(np.float32)
    return image, truth[model.inside], model


def start(image, background):
    """Background and initial value of an iteration."""
    return {"background": background, "initial": float(image.mean()) - background}
