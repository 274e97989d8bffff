"""Estimates for networks follow PSF and dose, and equal plain Richardson-Lucy of those numbers."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from decon3d.classical.estimates import Estimator
from decon3d.classical.kinds.rltv import Rltv
from decon3d.errors import UserError
from decon3d.networks.description import load_info
from decon3d.networks.estimates import (
    MOST_PHOTONS,
    network_runs,
    usual_iterations,
    usual_photons,
    usual_weight,
)
from decon3d.networks.kind import Estimate
from decon3d.optics.psf import normalised_psf
from decon3d.restoration.prepare import prepare_classical
from decon3d.restoration.restorers import open_restorer
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics
from support.deconvolution import PSF, VOXEL, boxes
from support.gaussians import gaussian_psf
from support.records import bundle_info

CAMERA = Camera(offset=100, gain=2, read_noise=1)
WIDE = normalised_psf(gaussian_psf((21, 41, 41), (5, 8, 8)), VOXEL, {})
USUAL = (Estimate((1.0,)),)


def runs_of(photons, psf=PSF, estimates=USUAL, camera=CAMERA):
    """Runs for a volume with so many photons per voxel at its brightest."""
    image, _, _ = boxes(photons=5 * photons)
    counts = 100 + 2 * image
    statistics = ChannelStatistics.of_image(counts, camera_offset=100)
    return network_runs(estimates, statistics=statistics, psf=psf, camera=camera), statistics


def numbers(*arguments, **options):
    """λ and iterations of the usual run."""
    ((run,), _) = runs_of(*arguments, **options)
    return run.recipe.tv_weight, run.iterations[0]


def test_a_wide_psf_takes_more_iterations_and_a_bright_image_less_smoothing():
    compact = normalised_psf(gaussian_psf((9, 9, 9), (0.8, 0.8, 0.8)), VOXEL, {})
    assert [round(usual_iterations(compact, n)) for n in (10, 1000)] == [7, 28]
    assert usual_iterations(WIDE, 30) > 3 * usual_iterations(compact, 30)
    assert usual_iterations(PSF, 300) == pytest.approx(10**0.3 * usual_iterations(PSF, 30))
    assert usual_weight(PSF, 100) == pytest.approx(2 * usual_weight(PSF, 400))
    assert usual_weight(WIDE, 100) < usual_weight(PSF, 100) < usual_weight(compact, 100)
    dim, bright = numbers(10), numbers(160)
    assert dim[0] > 2 * bright[0] and dim[1] < bright[1]
    assert numbers(10, psf=WIDE)[1] > dim[1]


def test_photons_are_counts_over_the_gain():
    (run,), statistics = runs_of(40)
    photons = usual_photons(run.recipe, statistics, CAMERA)
    assert photons == pytest.approx(
        usual_photons(run.recipe, statistics, replace(CAMERA, gain=1)) / 2
    )


@pytest.mark.parametrize("unknown", [None, replace(CAMERA, gain_from="assumed")])
def test_without_a_gain_photons_follow_from_the_noise_whatever_the_counts(unknown):
    (run,), statistics = runs_of(40)
    bright = statistics.normalisation.offset + statistics.normalisation.scale

    def photons(*, sigma=5.0, times=1.0):
        law = replace(
            statistics.normalisation,
            offset=times * statistics.normalisation.offset,
            scale=times * statistics.normalisation.scale,
        )
        noisy = replace(statistics, normalisation=law, background_sigma=times * sigma)
        recipe = replace(run.recipe, background=times * run.recipe.background)
        return usual_photons(recipe, noisy, unknown)

    ratio = (bright - run.recipe.background) / 5
    assert photons() == pytest.approx(1.4 * ratio ** (4 / 3))
    assert photons(times=7) == pytest.approx(photons())
    assert photons(sigma=10) == pytest.approx(photons() / 2 ** (4 / 3))
    assert photons(sigma=0) == photons(sigma=1e-6) == MOST_PHOTONS


@pytest.mark.parametrize("psf", [PSF, WIDE], ids=["compact", "wide"])
def test_estimates_are_snapshots_of_plain_runs_with_their_numbers(psf):
    estimates = (Estimate((0.5,), 0.0), Estimate((0.3, 1.0), 1.0))
    runs, statistics = runs_of(30, psf=psf, estimates=estimates)
    assert all(run.recipe.coarse_to_fine == (psf is WIDE) for run in runs)
    image = 100 + 2 * boxes(photons=150)[0]
    found = Estimator(runs, psf=psf.data, threads=1)(image)
    assert len(found) == 3
    usual = runs[1].iterations[-1]
    assert runs[1].iterations == (round(0.3 * usual), usual)
    for estimate, run in ((found[0], runs[0]), (found[2], runs[1])):
        method = Rltv(
            kind="rltv",
            iterations=run.iterations[-1],
            tv_weight=max(run.recipe.tv_weight, 1e-9),
            acceleration="coarse_to_fine" if psf is WIDE else "heavy_ball",
        )
        state = prepare_classical(method, statistics=statistics, psf=psf, tuned={}, camera=CAMERA)
        plain = open_restorer(state, threads=1).restore(image, (0, 0, 0))
        assert np.abs(estimate - plain).max() <= 1e-5 * np.ptp(plain)
    on_the_way = runs[1].recipe
    model = on_the_way.model(image.shape, psf=psf.data, threads=1)
    steps = on_the_way.estimates(image, model=model, iterations=runs[1].iterations[:1])
    expected = next(steps)[1] + on_the_way.background
    assert np.abs(found[1] - expected).max() <= 1e-5 * np.ptp(expected)


def test_a_bundle_trained_with_other_estimates_is_refused(tmp_path):
    info = asdict(bundle_info(kind="rl_residual", input_channels=2, estimates=USUAL))
    path = tmp_path / "model.json"
    path.write_text(json.dumps(info))
    assert load_info(tmp_path).estimates == USUAL
    path.write_text(json.dumps({**info, "estimates_version": 99}))
    with pytest.raises(UserError, match=r"estimates of version 99, .* train it again"):
        load_info(tmp_path)
    del info["estimates_version"]
    old = [{"iterations": [3, 8], "tv_weight": 0.0}]
    path.write_text(json.dumps({**info, "estimates": old}))
    with pytest.raises(UserError, match=r"estimates of version 0, .* train it again"):
        load_info(tmp_path)


def test_factors_that_round_to_one_number_give_numbers_that_ascend():
    runs, _ = runs_of(10, estimates=(Estimate((0.05, 0.06, 0.1)),))
    assert runs[0].iterations == (1, 2, 3)
    image = 100 + 2 * boxes(photons=50)[0]
    assert len(Estimator(runs, psf=PSF.data, threads=1)(image)) == 3
