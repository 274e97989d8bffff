"""Metrics with truth: published values, identities, blocks, stores."""

import math

import numpy as np
import pytest
import tifffile
import zarr
from scipy.ndimage import gaussian_filter
from skimage import data, metrics

from decon3d.affine import fit_affine
from decon3d.errors import UserError
from decon3d.evaluation.catalogue import METRICS, WITH_TRUTH
from decon3d.evaluation.common_kernel import Kernels
from decon3d.evaluation.full_reference import compare, evaluate_phantoms, evaluate_volume
from decon3d.evaluation.metric import MetricWithTruth
from decon3d.evaluation.metrics.ssim import ssim
from decon3d.evaluation.volumes import evaluate_volumes
from support.records import metric_record
from support.volumes import deskewed


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    rng = np.random.default_rng(3)
    points = rng.random((24, 40, 36)) > 0.995
    return (100 + 4000 * gaussian_filter(points.astype(np.float32), 1.2)).astype(np.float32)


def values(prediction: np.ndarray, truth: np.ndarray) -> dict[tuple[str, str], float]:
    return {(s.metric, s.variant): s.value for s in compare(prediction, truth)}


def test_ssim_published_value_of_camera() -> None:
    image = data.camera()
    noise = np.random.RandomState(5).normal(0, 20, image.shape)
    noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
    assert ssim(noisy, image, data_range=255) == pytest.approx(0.357959, abs=2e-5)


@pytest.mark.parametrize("block", [7, 16, 128])
def test_ssim_by_blocks_is_that_of_the_whole(truth: np.ndarray, block: int) -> None:
    noisy = truth + np.random.default_rng(0).normal(0, 30, truth.shape)
    whole = metrics.structural_similarity(
        truth.astype(float),
        noisy,
        data_range=500,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(noisy, truth, data_range=500, block=block) == pytest.approx(whole, abs=1e-12)


def test_psnr_and_nrmse_are_those_of_scikit_image(truth: np.ndarray) -> None:
    noisy = truth + np.random.default_rng(1).normal(0, 20, truth.shape).astype(np.float32)
    found = values(noisy, truth)
    span = float(truth.max() - truth.min())
    psnr = metrics.peak_signal_noise_ratio(truth, noisy, data_range=span)
    assert found["psnr", "unmatched"] == pytest.approx(psnr, abs=1e-6)
    nrmse = metrics.normalized_root_mse(truth, noisy, normalization="euclidean")
    assert found["nrmse", "unmatched"] == pytest.approx(nrmse, rel=1e-5)
    ranges = [s.range for s in compare(noisy, truth) if s.metric == "psnr"]
    assert ranges == pytest.approx([span, span])


def test_known_psnr() -> None:
    truth = np.zeros((12, 12, 12))
    truth[0, 0, 0] = 1
    assert values(truth + 0.1, truth)["psnr", "unmatched"] == pytest.approx(20)


def test_affine_match_undoes_scale_and_offset(truth: np.ndarray) -> None:
    match = fit_affine(0.25 * truth - 7, truth)
    assert (match.slope, match.offset) == pytest.approx((4, 28), rel=1e-5)
    found = values(0.25 * truth - 7, truth)
    assert found["nrmse", "affine"] < 1e-6 < 0.1 < found["nrmse", "unmatched"]
    assert found["ssim", "affine"] == pytest.approx(1, abs=1e-9)


def test_affine_match_of_a_constant_is_the_mean(truth: np.ndarray) -> None:
    match = fit_affine(np.full_like(truth, 5), truth)
    assert (match.slope, match.offset) == (0, pytest.approx(truth.mean(), rel=1e-6))


@pytest.mark.parametrize("variant", ["unmatched", "affine"])
def test_worse_scores_worse(truth: np.ndarray, variant: str) -> None:
    blurred = [values(gaussian_filter(truth, s), truth) for s in (0.3, 0.6, 1.2, 2.4)]
    noise = np.random.default_rng(2).normal(0, 1, truth.shape)
    noisy = [values(truth + s * noise, truth) for s in (1, 5, 25, 125)]
    for series in (blurred, noisy):
        for metric, sign in (("psnr", 1), ("ssim", 1), ("nrmse", -1)):
            assert np.all(np.diff([sign * v[metric, variant] for v in series]) < 0)
        assert np.all(np.diff([v["microssim", "affine"] for v in series]) < 0)


def test_equal_and_empty_volumes(truth: np.ndarray) -> None:
    assert values(truth, truth)["psnr", "unmatched"] == math.inf
    empty = values(truth, np.zeros_like(truth))
    assert math.isnan(empty["psnr", "unmatched"]) and math.isnan(empty["ssim", "affine"])


def test_thin_stack_has_no_ssim(truth: np.ndarray) -> None:
    thin = {s.metric for s in compare(truth[:10], truth[:10])}
    assert thin >= {"psnr", "nrmse", "microssim"} and "ssim" not in thin
    narrow = truth[:, :10]
    assert not {s.metric for s in compare(narrow, narrow)} & {"ssim", "microssim"}


def test_shapes_must_agree(truth: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"24, 40, 36.*the volume's grid"):
        compare(truth[:5], truth)


def test_phantoms_of_a_store(tmp_path, truth: np.ndarray) -> None:
    objects = np.stack([truth, truth[::-1]])
    test = zarr.create_group(tmp_path / "test.zarr")
    test.create_array("object", data=objects)
    test.create_array("image", data=gaussian_filter(objects, (0, 1, 1, 1)))
    test.attrs.update(recipes=["rln_mixed", "tubules"], photons=[50.0, 400.0])
    zarr.create_group(tmp_path / "rl.zarr").create_array("restored", data=objects + 1)
    names = {"dataset": "d", "channel": "c"}
    records = evaluate_phantoms(
        test_store=tmp_path / "test.zarr", restored_store=tmp_path / "rl.zarr", method="rl", **names
    )
    last = records[-1]
    assert (last.subject, last.recipe, last.photons) == ("phantoms/test/0001", "tubules", 400.0)
    assert last.split == "test" and len(records) == 2 * len(compare(truth, truth))
    raw = evaluate_phantoms(
        test_store=tmp_path / "test.zarr", restored_store=None, method="input", **names
    )
    blurred, restored = ([r.value for r in of if r.metric == "nrmse"] for of in (raw, records))
    assert len(blurred) == 4 and np.all(np.greater(blurred, restored))
    zarr.create_group(tmp_path / "old.zarr").create_array("restored", data=objects[:1])
    with pytest.raises(UserError, match="restore the test split again"):
        evaluate_phantoms(
            test_store=tmp_path / "test.zarr",
            restored_store=tmp_path / "old.zarr",
            method="rl",
            **names,
        )


def test_the_common_kernel_gives_each_measure_as_restored_and_matched(tmp_path, truth):
    """A restoration that is the truth at its own kernel, twice as bright: equal after the match."""
    test = zarr.create_group(tmp_path / "test.zarr")
    test.create_array("object", data=truth[None])
    test.create_array("image", data=truth[None])
    test.attrs.update(recipes=["tubules"], photons=[50.0])
    blurred = 2 * gaussian_filter(truth[None], (0, 1.5, 1.5, 1.5), mode="nearest")
    zarr.create_group(tmp_path / "m.zarr").create_array("restored", data=blurred)
    records = evaluate_phantoms(
        test_store=tmp_path / "test.zarr",
        restored_store=tmp_path / "m.zarr",
        method="m",
        dataset="d",
        channel="c",
        kernels=Kernels(own=1.5, common=1.5),
    )
    found = {(r.metric, r.variant): r.value for r in records}
    assert len(found) == 2 * len(compare(truth, truth))
    assert (
        found["psnr", "common"] > 80
        and found["microssim", "common"] > 0.9999
        and found["ssim", "common"] > 0.9999
    )
    assert found["nrmse", "common_unmatched"] == pytest.approx(1, rel=1e-4)
    assert found["ssim", "common_unmatched"] < 0.9
    assert found["psnr", "affine"] < 40


def test_volume_with_times_is_one_subject(truth: np.ndarray) -> None:
    names = {"dataset": "d", "channel": "c", "method": "m", "volume": "cell"}
    one = evaluate_volume(truth + 1, truth, **names)
    two = evaluate_volume(truth + 3, truth, **names)
    both = evaluate_volume(np.stack([truth + 1, truth + 3]), np.stack([truth, truth]), **names)
    assert {r.subject for r in both} == {"volume/cell"} and len(both) == len(one)
    for a, b, c in zip(one, two, both, strict=True):
        assert c.value == pytest.approx((a.value + b.value) / 2)


def test_voxels_without_data_change_nothing(tmp_path):
    counts, outside = deskewed()
    rng = np.random.default_rng(2)
    truth = counts.astype(np.float32)
    noisy = np.where(outside, 0, rng.poisson(truth) + 1).astype(np.uint16)
    for name, values in (("raw", noisy), ("truth", truth)):
        tifffile.imwrite(tmp_path / f"{name}.tif", values, photometric="minisblack")

    def measured(fill):
        records = evaluate_volumes(
            prediction=None,
            raw=str(tmp_path / "raw.tif"),
            reference=str(tmp_path / "truth.tif"),
            channels={"a": 0},
            times=None,
            dataset="d",
            volume="v",
            method="input",
            fills={"a": fill},
        )
        return {(r.metric, r.variant): r.value for r in records}

    there = ~outside
    error = noisy[there] - truth[there].astype(float)
    data_range = np.ptp(truth[there])
    expected = 10 * np.log10(data_range**2 / np.mean(error**2))
    assert measured(0.0)["psnr", "unmatched"] == pytest.approx(expected, abs=1e-6)
    assert measured(None)["psnr", "unmatched"] > expected + 0.5
    assert measured(0.0)["ssim", "unmatched"] < measured(None)["ssim", "unmatched"]


def test_a_metric_with_truth_is_one_record(monkeypatch, truth):
    """What a file in `evaluation/metrics` defines is measured and recorded like the others."""
    worst = MetricWithTruth(
        name="worst",
        label="Worst voxel",
        unit="counts",
        better="lower",
        digits=1,
        caveat="A single voxel decides.",
        measure=lambda c: float(np.abs(c.slope * c.prediction + c.offset - c.truth).max()),
    )
    monkeypatch.setitem(WITH_TRUTH, "worst", worst)
    found = {(s.metric, s.variant): s for s in compare(truth + 7, truth)}
    assert found["worst", "unmatched"].value == pytest.approx(7, abs=1e-3)
    assert found["worst", "affine"].value < 1e-2
    monkeypatch.setitem(METRICS, "worst", worst)
    assert metric_record(metric="worst", unit="").unit == "counts"


def test_every_metric_with_truth_stands_in_the_catalogue():
    assert list(WITH_TRUTH)[:4] == ["psnr", "nrmse", "ssim", "microssim"]
    for name, metric in WITH_TRUTH.items():
        assert METRICS[name] is metric and metric.name == name and metric.caveat.endswith(".")
