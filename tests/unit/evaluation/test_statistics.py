"""Records survive their file; intervals have known answers."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from decon3d.evaluation.records import COLUMNS, Record, read_records, write_records
from decon3d.evaluation.statistics import Estimate, estimate_mean, paired_difference
from support.records import metric_record

ROW = metric_record(range=900.0, value=31.5)


def test_columns_are_the_contract() -> None:
    assert tuple(COLUMNS) == tuple(f.name for f in dataclasses.fields(Record))
    assert tuple(COLUMNS) == (
        "dataset",
        "channel",
        "method",
        "subject",
        "split",
        "recipe",
        "photons",
        "metric",
        "variant",
        "region",
        "range",
        "implementation",
        "value",
        "unit",
    )


def test_records_survive_their_file(tmp_path) -> None:
    infinite = dataclasses.replace(ROW, value=math.inf)
    write_records(tmp_path / "r.json", [ROW, infinite])
    first, second = read_records(tmp_path / "r.json")
    assert first == ROW
    assert math.isnan(second.value)


def test_t_interval_of_a_known_sample() -> None:
    sample = [1.0, 2.0, 3.0, 4.0, 5.0]
    found = estimate_mean(sample, seed=1, name="x")
    half = stats.t.ppf(0.975, 4) * np.sqrt(2.5 / 5)
    assert (found.t_low, found.t_high) == pytest.approx((3 - half, 3 + half))
    assert found.n == 5 and found.mean == 3
    # The percentile interval of five even values: near 1.96 · sqrt(2 / 5), shorter than t's.
    assert (found.low, found.high) == pytest.approx((1.8, 4.2), abs=0.21)
    assert found.cautious == (found.t_low, found.t_high)
    assert found == estimate_mean(sample, seed=1, name="x")


def test_large_samples_have_no_t_interval_and_cover() -> None:
    rng = np.random.default_rng(0)
    found = [estimate_mean(rng.normal(5, 1, 40), seed=i, name="x") for i in range(40)]
    assert all(math.isnan(f.t_low) for f in found)
    assert sum(f.low < 5 < f.high for f in found) >= 34


def test_few_or_equal_values() -> None:
    one = estimate_mean([2.0, math.nan], seed=1, name="x")
    assert (one.mean, one.n, one.excludes_zero) == (2.0, 1, False)
    assert math.isnan(estimate_mean([], seed=1, name="x").mean)
    same = estimate_mean([0.5, 0.5, 0.5], seed=1, name="x")
    assert (same.low, same.high, same.excludes_zero) == (0.5, 0.5, True)


def test_pairing_removes_the_spread_between_subjects() -> None:
    base = {f"s{i}": 10.0 * i for i in range(8)}
    better = {s: v + 1 + 0.1 * (i % 2) for i, (s, v) in enumerate(base.items())}
    found = paired_difference(better, base | {"other": 1e6}, seed=1, name="x")
    assert found.n == 8 and found.mean == pytest.approx(1.05)
    assert found.excludes_zero and 1.0 <= found.low < found.high <= 1.1


def test_zero_inside_either_interval_is_no_clear_difference() -> None:
    assert not Estimate(1.0, 0.1, 2.0, 5, -0.2, 2.3).excludes_zero
    assert Estimate(1.0, 0.1, 2.0, 40, math.nan, math.nan).excludes_zero
