"""Probes and held-out photons: known widths, places and slopes; worse images score worse."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from decon3d.classical.kinds.rl import Rl
from decon3d.classical.operators import Blur
from decon3d.classical.photons import PhotonScale
from decon3d.evaluation import deviance as deviance_module
from decon3d.evaluation.catalogue import METRICS, VOXELWISE
from decon3d.evaluation.common_kernel import Kernels
from decon3d.evaluation.deviance import held_out, restore_chain
from decon3d.evaluation.noise import measure_noise
from decon3d.evaluation.probe import BEADS, bead_image, make_probe, proportion
from decon3d.evaluation.sample import (
    Bench,
    Method,
    evaluate_sample,
    held_out_records,
    known_photons,
)
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.phantoms.imaging import SimulatedCamera, simulate
from decon3d.phantoms.published import RLN_SIGMA
from decon3d.phantoms.sections import TRUTH_SIGMA
from decon3d.restoration import arrays
from decon3d.restoration.prepare import prepare_classical
from decon3d.restoration.restorers import State
from decon3d.settings import Channel, Optics, load_settings
from decon3d.settings.target_kernels import target_kernels
from decon3d.volumes.camera import Camera
from decon3d.volumes.correlated_noise import CORRELATED, neighbour_correlation
from decon3d.volumes.statistics import ChannelStatistics
from support.configs import simulated_dataset

VOXEL = (0.2, 0.1, 0.1)
SIGMA = (1.5, 1.2, 1.2)
CAMERA = Camera(offset=100, gain=2.0, read_noise=1.0)


@pytest.fixture(scope="module")
def psf() -> Psf:
    data = np.zeros((11, 11, 11))
    data[5, 5, 5] = 1
    return normalised_psf(gaussian_filter(data, SIGMA), VOXEL, {})


def probe_of(psf: Psf, *, photons: float = 1e6, read_noise: float = 0.0):
    camera = SimulatedCamera(offset=100, gain=2, read_noise=read_noise)
    return make_probe(
        psf, photons=photons, background_photons=3, camera=camera, rng=np.random.default_rng(1)
    )


def test_the_image_of_beads_has_the_known_width_and_place(psf: Psf) -> None:
    probe = probe_of(psf)
    found = bead_image(probe.exposure.images[0], probe)
    assert found.found == BEADS
    ball = 0.2**2 / 20  # variance of a ball of that diameter along an axis
    for width, sigma, voxel in zip(found.fwhm_um, SIGMA, VOXEL, strict=True):
        variance = (sigma * voxel) ** 2 + ball + voxel**2 / 12
        assert width == pytest.approx(2.3548 * variance**0.5, rel=0.05)
    assert np.abs(found.shift_um) == pytest.approx(0, abs=0.01)


def test_moved_blurred_and_lost_beads_are_told(psf: Psf) -> None:
    probe = probe_of(psf)
    image = probe.exposure.images[0]
    moved = bead_image(shift(image, (0, 0.5, 0), order=3, mode="nearest"), probe)
    assert moved.shift_um[1] == pytest.approx(0.05, abs=0.01)
    widths = [bead_image(gaussian_filter(image, s), probe).fwhm_um[2] for s in (0, 1, 2)]
    assert np.all(np.diff(widths) > 0)
    lost = bead_image(np.full_like(image, 100), probe)
    assert np.isnan(lost.fwhm_um).all()


@pytest.mark.parametrize("slope", [0.8, 1.0])
def test_known_slope_of_brightness(psf: Psf, slope: float) -> None:
    probe = probe_of(psf)
    found = proportion(slope * probe.exposure.object + 7, probe)
    assert found.slope == pytest.approx(slope, rel=1e-6)
    assert found.exponent == pytest.approx(1, abs=1e-6)


def test_dimmed_dim_objects_raise_the_exponent(psf: Psf) -> None:
    probe = probe_of(psf)
    truth = probe.exposure.object - probe.background
    exponents = []
    for power in (1.0, 1.1, 1.3):
        image = probe.background + truth.max() * (truth / truth.max()) ** power
        exponents.append(proportion(image, probe).exponent)
    assert np.all(np.diff(exponents) > 0)


def image_of(psf: Psf, photons: float, seed: int = 2) -> np.ndarray:
    exposure = simulate(
        "rln_mixed",
        shape=(20, 40, 40),
        psf=psf.data,
        voxel_size_um=VOXEL,
        photons=photons,
        background_photons=3,
        camera=SimulatedCamera(100, 2, 1),
        rng=np.random.default_rng(seed),
    )
    return exposure.images[0]


def rl_state(psf: Psf, image: np.ndarray, iterations: int, **options) -> State:
    return prepare_classical(
        Rl(kind="rl", iterations=iterations, **options),
        psf=psf,
        tuned={},
        camera=CAMERA,
        statistics=ChannelStatistics.of_image(image, camera_offset=100),
        sample=[image],
    )


def test_the_deviance_of_the_truth_is_one_per_voxel_and_the_smallest() -> None:
    rng = np.random.default_rng(0)
    mu = rng.uniform(50, 200, 20_000)
    n = rng.poisson(mu)
    right = deviance_module.voxel_deviance(n, mu).mean()
    assert right == pytest.approx(1, abs=0.03)
    assert deviance_module.voxel_deviance(n, 1.1 * mu).mean() > right + 0.5
    assert np.all(deviance_module.voxel_deviance(np.zeros(3), np.ones(3)) == 2)


def test_deviance_of_the_true_expectation_is_that_of_photons_alone(psf: Psf) -> None:
    scale = PhotonScale(100.0, 2.0, "config")
    rng = np.random.default_rng(3)
    truth = 100 + 2 * gaussian_filter(rng.random((20, 40, 40)) * 200, 1)
    model = Blur(truth.shape, psf=psf.data)
    margin = [(5, 5)] * 3
    mean = (model.forward(np.pad(truth, margin, mode="edge").astype(np.float32)) - 100) / 2
    image = (100 + 2 * rng.poisson(mean)).astype(np.float32)

    def judged(restored: np.ndarray) -> float:
        restored = restored.astype(np.float32)
        options = {"psf": psf, "scale": scale, "seed": 1}
        return held_out(image, restore=lambda _: restored, **options).deviance

    right = judged(truth)
    assert right == pytest.approx(1, abs=0.03)
    wrong = [judged(truth + 2 * w * rng.normal(0, 20, truth.shape)) for w in (1, 3, 10)]
    assert np.all(np.diff([right, *wrong]) > 0)


def test_every_method_is_judged_alike(psf: Psf) -> None:
    image = image_of(psf, 200)
    scale = PhotonScale(98.0, 2.0, "config")
    options = {"psf": psf, "scale": scale, "seed": 5}
    values = {
        name: held_out(image, restore=restore_chain(states, threads=1), **options).deviance
        for name, states in (
            ("input", []),
            ("rl", [rl_state(psf, image, 10)]),
            ("overdone", [rl_state(psf, image, 300)]),
            ("rlgc", [rl_state(psf, image, 30, stopping="rlgc")]),
        )
    }
    assert values["rl"] < values["input"] and values["rl"] < values["overdone"]
    assert values["rlgc"] < values["input"]
    assert 0.9 < values["rl"] < 1.3


def test_voxels_without_data_do_not_count(psf: Psf) -> None:
    image = image_of(psf, 200).astype(np.float32)
    scale = PhotonScale(98.0, 2.0, "config")
    restore = restore_chain([rl_state(psf, image, 10)], threads=1)
    whole = held_out(image, restore=restore, psf=psf, scale=scale, seed=5)
    image[:, :8] = np.nan
    part = held_out(image, restore=restore, psf=psf, scale=scale, seed=5)
    assert part.deviance == pytest.approx(whole.deviance, rel=0.01)


def test_parts_and_light_of_known_restorations(psf: Psf) -> None:
    image = image_of(psf, 200).astype(np.float32)
    options = {"psf": psf, "scale": PhotonScale(98.0, 2.0, "config"), "seed": 5}
    options["background"] = 106.0
    found = held_out(image, restore=lambda values: values, **options)
    assert len(found.parts) == 2 * 3 * 3  # of 20 × 40 × 40 voxels
    assert np.mean(found.parts) == pytest.approx(found.deviance, rel=0.1)
    lights = [
        held_out(image, restore=lambda v, s=s: 106 + s * (v - 106), **options).light
        for s in (0.9, 1.0, 1.1)
    ]
    assert np.diff(lights) == pytest.approx([0.1, 0.1], abs=0.01)
    assert found.light == lights[1] == pytest.approx(1, abs=0.05)


def test_unknown_photons_are_a_reason_and_no_failure(psf: Psf) -> None:
    flat = [np.full((20, 40, 40), 100.0)]
    scale, reason = known_photons(flat, Camera(gain_from="assumed"))
    assert scale is None and "camera.gain" in reason
    scale, reason = known_photons([flat[0] - 2], CAMERA)  # 98 = the dark level
    assert scale is None and "too few" in reason


def shared_noise(block: np.ndarray) -> float:
    return neighbour_correlation(measure_noise([block], camera=CAMERA).correlation)


def test_correlated_noise_is_told() -> None:
    white = 100 + 2 * np.random.default_rng(6).poisson(50, (20, 64, 64)).astype(np.float32)
    assert shared_noise(white) < CORRELATED
    deskewed = gaussian_filter(white, (0.5, 0, 0))  # as interpolation along an axis makes it
    assert shared_noise(deskewed) > CORRELATED


def test_all_of_one_method(psf: Psf) -> None:
    image = image_of(psf, 200)
    bench = Bench(
        psf=psf,
        optics=Optics(modality="confocal", numerical_aperture=1.1, immersion_index=1.333),
        channel=Channel(emission_um=0.525),
        camera=CAMERA,
        photons=200,
        background_photons=3,
        seed=1,
        stream=("d", "c"),
    )

    def prepare(statistics, sample):
        return prepare_classical(
            Rl(kind="rl", iterations=8), psf=psf, tuned={}, camera=CAMERA, statistics=statistics
        )

    method = Method([prepare], [rl_state(psf, image, 8)])
    options = {"sample": [image], "threads": 1}
    values = {}
    for name, used in (("rl", method), ("input", Method())):
        for record in evaluate_sample(used, bench, name=name, **options):
            assert record.unit == (METRICS[record.metric].unit or "1")
            values[name, record.split, record.metric, record.variant, record.region] = record.value
    assert all(np.isfinite(v) for v in values.values())
    for metric, region in (("bead_fwhm", "z"), ("bead_fwhm", "x"), ("fsc", "xy")):
        key = ("probe", metric, "unmatched", region)
        assert values["rl", *key] < values["input", *key]
    assert 0.9 < values["rl", "probe", "object_slope", "unmatched", "volume"] < 1.1
    wrong = [values["rl", f"psf_{w}", "nrmse", "affine", "volume"] for w in ("1", "1.1", "1.25")]
    assert np.all(np.diff(wrong) > 0)
    unknown = replace(bench, camera=Camera(gain_from="assumed"))
    flat = {"sample": [np.full((20, 40, 40), 100.0)], "threads": 1}
    first = evaluate_sample(Method(), unknown, name="input", **flat)[0]
    assert first.metric == "deviance" and np.isnan(first.value)
    assert "camera.gain" in first.implementation


def test_two_draws_of_one_object_are_restored_alike() -> None:
    """What is decided on the image is decided once, or the halves' agreement judges two methods."""
    decided = []

    def prepare(statistics, sample):
        decided.append(sample[0].copy())
        return State(
            "half", (0, 0, 0), (1, 1, 1), False, 8.0, {"background": statistics.background}
        )

    images = [np.full((4, 6, 8), value, np.float32) for value in (110, 130)]
    images[1][0, 0, 0] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "open_restorer", lambda state, threads: Constant(state))
        found = arrays.restore_alike(images, prepare=prepare, camera_offset=None, threads=1)
    assert len(decided) == 1 and np.all(decided[0] == 110)
    assert np.all(found[0] == 110 - 2) and np.isnan(found[1][0, 0, 0])
    assert np.nanmax(found[1]) == np.nanmin(found[1]) == 130 - 2


class Constant:
    """A restorer that takes 2 counts from every voxel."""

    def __init__(self, state: State) -> None:
        self.state = state

    def restore(self, block, origin, inner=None):
        return (block - 2)[inner or ...]


def test_no_error_is_predicted_where_neighbours_share_their_noise(psf: Psf) -> None:
    white = 100 + 2 * np.random.default_rng(6).poisson(50, (20, 64, 64)).astype(np.float32)
    found, halves = [], [[], []]
    for i, seen in enumerate((white, gaussian_filter(white, (0.5, 0, 0)))):
        records = held_out_records(
            [rl_state(psf, seen, 8)],
            sample=[seen],
            camera=CAMERA,
            psf=psf,
            background=None,
            seed=1,
            stream=("d", "c"),
            name="rl",
            threads=1,
            halves=halves[i],
        )
        found.append({record.metric for record in records})
    assert found[0] - found[1] == {"predicted_error"}
    # Halves that share their noise agree too well: no stability is shown.
    assert [len(of) for of in halves] == [1, 0]


def test_the_halves_differ_by_their_photon_noise(psf: Psf) -> None:
    """Nothing restored: twice one half minus twice the other, of variance 4 · photons · gain²."""
    image = 100 + 2 * np.random.default_rng(6).poisson(50, (20, 40, 40)).astype(np.float32)
    options = {"psf": psf, "scale": PhotonScale(100.0, 2.0, "config"), "seed": 5}
    first, second = held_out(image, restore=lambda values: values, **options).restored
    assert (first + second) / 2 == pytest.approx(image, abs=1e-3)
    assert np.std(first - second) == pytest.approx(2 * 2 * 50**0.5, rel=0.02)
    same = held_out(image, restore=lambda values: 0 * values, **options).restored
    assert np.array_equal(*same)


def test_common_kernel() -> None:
    rng = np.random.default_rng(4)
    thing = rng.random((12, 20, 20)).astype(np.float32)
    smooth = gaussian_filter(thing, RLN_SIGMA, mode="nearest")
    assert TRUTH_SIGMA["rln_mixed"] == RLN_SIGMA
    # A network that returns the smooth object is perfect, and so is an exact restoration.
    network = Kernels(own=RLN_SIGMA, common=RLN_SIGMA).applied(smooth, thing, recipe="tubules")
    assert np.allclose(*network, atol=1e-6)
    exact = Kernels(own=0.0, common=RLN_SIGMA).applied(thing, smooth, recipe="rln_mixed")
    assert np.allclose(*exact, atol=1e-6)


def test_target_kernels_of_a_config() -> None:
    config = {"datasets": {"d": simulated_dataset()}, "methods": {"rl": {}, "rln": {}}}
    assert target_kernels(load_settings(config), "rln") is None  # the mixture has no kernel
    config["phantoms"] = {"train": {"count": 2, "recipes": {"rln_mixed": 1}}}
    kernels = target_kernels(load_settings(config), "rln")
    assert kernels == {"own": RLN_SIGMA, "common": RLN_SIGMA}
    assert target_kernels(load_settings(config), "rl")["own"] == 0
    config["phantoms"] = {"train": {"count": 2, "recipes": {"rln_mixed": 1, "tubules": 1}}}
    assert target_kernels(load_settings(config), "rln") is None


def test_every_metric_says_what_it_cannot_tell() -> None:
    for name, metric in METRICS.items():
        assert len(metric.caveat) > 30, name
        best = {"higher": 9.0, "lower": -9.0, "one": 1.0, "zero": 0.0}[metric.better]
        assert all(metric.badness(best) < metric.badness(v) for v in (-3.0, 0.5, 3.0)), name
    assert set(VOXELWISE) <= set(METRICS)
