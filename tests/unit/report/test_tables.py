"""The tables of a paper: headline, tests as papers report them, the wrong PSF, the guide."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from decon3d.evaluation.catalogue import DEPENDENT, METRICS
from decon3d.evaluation.records import COLUMNS
from decon3d.report.headline_table import correlated_noise_warnings, guide, headline, wrong_psf
from decon3d.report.labels import GROUPS, REGIONS, VARIANTS
from decon3d.report.papers import as_papers_report, holm
from decon3d.report.tables import COST_COLUMNS, summarise, summary_blocks
from support.report_rows import rows, settings, table

BASE = np.array([20.0, 24, 22, 27, 25, 21, 23, 26])


def test_holm_known_example() -> None:
    # Wright 1992, Biometrics 48: p = 0.01, 0.02, 0.03 → 0.03, 0.04, 0.04.
    assert holm(np.array([0.03, 0.01, 0.02])) == pytest.approx([0.04, 0.03, 0.04])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1, 1])


def test_the_papers_tests_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    values = {
        m: BASE + d + rng.normal(0, 0.2, 8) for m, d in (("input", -3), ("rl", 0), ("rln", 1))
    }
    found = as_papers_report(table({m: list(v) for m, v in values.items()}))
    anova = found[found["test"] == "anova"].iloc[0]
    expected = stats.f_oneway(*values.values())
    assert (anova["statistic"], anova["p"]) == pytest.approx((expected.statistic, expected.pvalue))
    pairs = found[found["test"] == "wilcoxon_holm"].set_index(["first", "second"])
    # All eight differences have one sign: p = 2 / 2⁸, times three pairs.
    assert pairs["p"].to_list() == pytest.approx([3 * 2 / 2**8] * 3)
    assert pairs.loc[("rl", "rln"), "difference"] == pytest.approx(-1, abs=0.3)
    tukey = found[found["test"] == "tukey_hsd"]
    assert len(tukey) == 3 and set(found["n"]) == {8}
    low = stats.tukey_hsd(*values.values()).confidence_interval(0.95).low
    assert tukey["low"].to_list() == pytest.approx([low[0, 1], low[0, 2], low[1, 2]], rel=1e-4)
    assert as_papers_report(table({"rl": [1.0, 2], "rln": [2.0, 3]})).empty


def test_headline_has_five_figures() -> None:
    entries = [
        {"method": "rl", "metric": "deviance", "value": v, "subject": f"sample/{i}"}
        for i, v in enumerate((1.0, 1.2))
    ]
    entries += [
        {"method": "rl", "metric": "bead_fwhm", "region": r, "split": "probe", "value": v}
        for r, v in (("z", 0.6), ("y", 0.2), ("x", 0.3))
    ]
    entries.append({"method": "rl", "metric": "object_slope", "split": "probe", "value": 0.97})
    for i in range(4):
        for variant, value in (("unmatched", 0.3), ("affine", 0.2)):
            entries.append(
                {
                    "method": "rl",
                    "metric": "nrmse",
                    "split": "test",
                    "variant": variant,
                    "subject": f"phantoms/test/{i}",
                    "recipe": "tubules",
                    "value": value + i / 100,
                }
            )
    cost = pd.DataFrame(
        [
            ("all", "rl", "restoration", 1, 6.0, 3.0, 0.5, 1, "CPU"),
            ("signal", "rl", "tuning", 1, 9.0, np.nan, np.nan, np.nan, None),
            ("all", "rl", "consistency", 1, 50.0, np.nan, np.nan, np.nan, None),
        ],
        columns=list(COST_COLUMNS),
    )
    (row,) = headline(rows(*entries), cost, settings=settings()).to_dict(orient="records")
    assert (row["deviance"], row["deviance_n"]) == (pytest.approx(1.1), 2)
    assert (row["nrmse"], row["nrmse_affine"]) == pytest.approx((0.315, 0.215))
    assert row["nrmse_low"] < 0.315 < row["nrmse_high"]
    assert (row["nrmse_n"], row["nrmse_units"], row["nrmse_on"]) == (4, 1, "unseen")
    assert (row["bead_fwhm_lateral_um"], row["bead_fwhm_axial_um"]) == pytest.approx((0.25, 0.6))
    assert (row["object_slope"], row["seconds_per_mvoxel"], row["setup_seconds"]) == (
        0.97,
        2.0,
        9.0,
    )


def test_headline_without_truth_or_gain_has_gaps() -> None:
    entry = {"method": "rl", "metric": "deviance", "value": np.nan}
    cost = pd.DataFrame(columns=list(COST_COLUMNS))
    (row,) = headline(rows(entry), cost, settings=settings()).to_dict(orient="records")
    assert np.isnan(row["deviance"]) and np.isnan(row["nrmse"]) and row["deviance_n"] == 0
    assert headline(rows(), cost, settings=settings()).empty
    assert summarise(rows(), settings=settings()).empty and wrong_psf(rows()).empty


def test_headline_tells_seen_from_unseen_structure() -> None:
    entries = [
        {
            "method": "rl",
            "metric": "nrmse",
            "split": "test",
            "recipe": recipe,
            "value": value,
            "subject": f"phantoms/test/{i}",
        }
        for i, (recipe, value) in enumerate([("mixture", 0.1), ("membranes", 0.4)])
    ]
    cost = pd.DataFrame(columns=list(COST_COLUMNS))
    found = headline(rows(*entries), cost, settings=settings()).set_index("nrmse_on")["nrmse"]
    assert found.to_dict() == {"seen": 0.1, "unseen": 0.4}


def test_a_deviance_of_halves_that_share_noise_ranks_nothing() -> None:
    entries = [
        {"method": m, "metric": "deviance", "value": v, "implementation": f"here; {DEPENDENT}"}
        for m, v in (("rl", 1.0), ("rln", 1.2))
    ]
    assert summarise(rows(*entries), settings=settings())["rank"].isna().all()
    (warning,) = correlated_noise_warnings(rows(*entries))
    assert warning.startswith("Channel signal")
    free = rows(*({**entry, "implementation": "here"} for entry in entries))
    assert set(summarise(free, settings=settings())["rank"]) == {1, 2}
    assert correlated_noise_warnings(free) == []


def test_wrong_psf_has_a_column_per_width() -> None:
    entries = [
        {"method": "rl", "metric": "nrmse", "split": f"psf_{w}", "value": v}
        for w, v in (("1.1", 0.3), ("0.75", 0.4), ("1", 0.2))
    ]
    (row,) = wrong_psf(rows(*entries)).to_dict(orient="records")
    assert list(row)[-3:] == ["psf_0.75", "psf_1", "psf_1.1"] and row["psf_1"] == 0.2


def test_metrics_without_truth_are_summarised_but_not_ranked() -> None:
    entries = [
        {"method": m, "metric": metric, "region": region, "value": v}
        for metric, region, values in (
            ("deviance", "volume", (1.3, 1.0)),
            ("decorrelation", "xy", (0.4, 0.2)),
            ("decorrelation", "xz", (0.8, 0.5)),
            ("object_slope", "volume", (1.2, 0.9)),
        )
        for m, v in zip(("input", "rl"), values, strict=True)
    ]
    found = summarise(rows(*entries), settings=settings())
    ranks = found.set_index(["metric", "region", "method"])["rank"]
    assert ranks["deviance", "volume", "rl"] == 1 and ranks["object_slope", "volume", "rl"] == 1
    assert ranks["decorrelation"].isna().all() and len(ranks["decorrelation"]) == 4
    (block,) = summary_blocks(found)
    assert block["group"] == "data" and len(block["columns"]) == 4
    assert all(len(row["cells"]) == 4 and None not in row["cells"] for row in block["rows"])


def test_the_guide_explains_every_column_and_metric() -> None:
    found = guide()
    assert set(found["name"]) == set(COLUMNS) | set(METRICS)
    assert found["meaning"].str.len().min() > 10
    assert {"data", "probe", "psf_1"} <= set(GROUPS) and "common" in VARIANTS and "xz" in REGIONS
