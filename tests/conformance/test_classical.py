"""Classical deconvolution against what others made of the same data, and against itself."""

import numpy as np
import pytest
import tifffile

from decon3d.classical.kinds.rl import Rl
from decon3d.classical.kinds.rl_roughness import RlRoughness
from decon3d.classical.kinds.rltv import Rltv
from decon3d.classical.operators import Blur
from decon3d.classical.recipe import Recipe
from decon3d.classical.tuning import tune, with_truth
from decon3d.evaluation.deviance import voxel_deviance
from decon3d.optics.measured import psf_from_file
from decon3d.optics.psf import is_compact, normalised_psf
from decon3d.optics.theory import theoretical_psf
from decon3d.phantoms import imaging
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.prepare import prepare_classical
from decon3d.restoration.restorers import open_restorer
from decon3d.seeds import generator
from decon3d.settings import Optics
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics

VOXEL = (0.25, 0.15, 0.15)


def test_ten_iterations_explain_the_light_sheet_data_as_well_as_cudadecon(reference_data):
    """Same volume, PSF, background 98 and number of accelerated iterations; another crop."""
    folder = reference_data / "lightsheet"
    volume = tifffile.imread(folder / "volume.tif")
    theirs = tifffile.imread(folder / "cudadecon_10it.tif")
    psf = psf_from_file(
        folder / "psf.tif",
        voxel_size_um=(0.1, 0.1019, 0.1019),
        target_voxel_size_um=(0.157, 0.1019, 0.1019),
        accept_pedestal=True,
    )
    # Registered by cross-correlation: their plane z + 1 is plane z of the volume.
    planes = theirs.shape[0] - 1
    raw = volume[:planes, :, : theirs.shape[2]].astype(np.float32)
    theirs = theirs[1:]
    statistics = ChannelStatistics.of_image(raw, camera_offset=98.0)
    state = prepare_classical(
        Rl(kind="rl", iterations=10),
        statistics=statistics,
        psf=psf,
        tuned={},
        camera=Camera(offset=98.0),
    )
    ours = restore_array(raw, open_restorer(state, threads=2), state) - 98
    model = Blur(raw.shape, psf=psf.data, threads=2)
    half = [n // 2 for n in psf.data.shape]
    inner = tuple(slice(h, -h) for h in half)
    deviances = {}
    for name, estimate in (("decon3d", ours), ("cudaDecon", theirs), ("raw", raw - 98)):
        whole = np.zeros(model.object_shape, np.float32)
        whole[model.inside] = np.maximum(estimate, 0)
        expected = model.forward(whole)[inner] + 98
        deviances[name] = float(voxel_deviance(raw[inner], expected).mean())
        correlation = np.corrcoef(estimate[inner].ravel(), theirs[inner].ravel())[0, 1]
        print(
            f"{name}: deviance {deviances[name]:.4f}, correlation with cudaDecon {correlation:.3f}"
        )
        if name == "decon3d":
            assert correlation > 0.93  # the raw image itself has 0.91
    assert deviances["decon3d"] <= 1.05 * deviances["cudaDecon"]


@pytest.fixture(scope="module", params=["widefield", "compact"])
def blurred(request):
    """An image of 100 photons and its PSF."""
    if request.param == "widefield":
        optics = Optics(modality="widefield", numerical_aperture=0.9, immersion_index=1.333)
        data = theoretical_psf(
            optics=optics, emission_um=0.525, voxel_size_um=VOXEL, shape=(17, 25, 25)
        )
    else:
        axes = np.meshgrid(*(np.arange(n) - n // 2 for n in (11, 13, 13)), indexing="ij")
        data = np.exp(-sum(a**2 for a in axes) / (2 * 1.4**2))
    psf = normalised_psf(data, VOXEL, {})
    assert is_compact(psf) == (request.param == "compact")
    exposure = imaging.simulate(
        "rln_mixed",
        shape=(24, 48, 160),
        psf=psf.data,
        voxel_size_um=VOXEL,
        photons=100,
        background_photons=5,
        camera=imaging.SimulatedCamera(100, 1, 1),
        rng=generator(1, "seams"),
    )
    return exposure.images[0], psf


METHODS = {
    "RL 10": (Rl(kind="rl", iterations=10, acceleration="none"), 100, 5e-4),
    "RL 50": (Rl(kind="rl", iterations=50, acceleration="none"), 100, 5e-4),
    "heavy ball 15": (Rl(kind="rl", iterations=15), 100, 5e-4),
    # Total variation flips unit normals by rounding, so single voxels may differ more.
    "RLTV 30": (Rltv(kind="rltv", iterations=30, tv_weight=0.002), 99.9, 2e-4),
    "RL roughness 30": (
        RlRoughness(kind="rl_roughness", iterations=30, roughness_weight=0.1),
        100,
        5e-4,
    ),
    "Wiener-Butterworth 2": (
        Rl(kind="rl", iterations=2, back_projector="wiener_butterworth", acceleration="none"),
        100,
        5e-4,
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_tiled_equals_whole(blurred, name):
    image, psf = blurred
    method, percentile, limit = METHODS[name]
    statistics = ChannelStatistics.of_image(image, camera_offset=100.0)
    camera = Camera(offset=100, gain=1, read_noise=1)
    state = prepare_classical(method, statistics=statistics, psf=psf, tuned={}, camera=camera)
    restorer = open_restorer(state, threads=1)
    whole = restore_array(image, restorer, state)
    tiled = restore_array(image, restorer, state, block=(24, 48, 80))
    assert np.any(tiled != whole)  # the halo does not reach across the other block
    difference = np.percentile(np.abs(tiled - whole), percentile) / whole.max()
    print(f"{name}: halo {state.halo}, {difference:.1e} of the maximum")
    assert difference <= limit


def test_rltv_at_its_optimum_on_the_bars(reference_data):
    """Printed with its λ and iterations."""
    image, psf, truth = (
        tifffile.imread(reference_data / "bars" / f"{name}.tif")
        for name in ("image", "psf", "truth")
    )
    psf = psf[6:27, 16:49, 16:49].astype(np.float64)
    recipe = Recipe(0.0, float(image.mean()), (1.0, 1.0, 1.0))
    found = tune(
        with_truth([image], [truth], [recipe]), psf=psf / psf.sum(), prior="tv_weight", threads=2
    )
    print(f"bars: RLTV {found.score:.2f} dB, λ {found.weight:.2g}, {found.iterations} iterations")
    assert found.score > 28.1
