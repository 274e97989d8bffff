"""The data veto, simulated objects rank what is left, ties go to Richardson-Lucy."""

import datetime
import json

import numpy as np
import pandas as pd
import pytest

from decon3d.evaluation.catalogue import DEPENDENT
from decon3d.report.independent import values_by_volume, with_volumes
from decon3d.report.labels import method_label
from decon3d.report.recommendation import COLUMNS, chosen_text, recommend, recommendation_table
from decon3d.report.tables import summarise
from decon3d.report.templating import date_in_words, duration, number, quantity
from decon3d.report.vetoes import staircase_warnings
from support.report_rows import METHODS, rows, settings, table

BASE = np.array([20.0, 24, 22, 27, 25, 21, 23, 26])
JITTER = np.array([0.1, -0.1, 0.2, -0.2, 0.1, -0.1, 0.0, 0.0])
PARTS = np.linspace(0.9, 1.1, 16)


def advice(*tables: pd.DataFrame, methods: dict | None = None, more: dict | None = None, **kwargs):
    """Recommend from tables; unless other methods are given, all of the config have results."""
    metrics = pd.concat(tables)
    there = {"rl", *metrics["method"]}
    chosen = settings(methods or {m: {} for m in METHODS if m in there}, **(more or {}))
    (found,) = recommend(metrics, settings=chosen, **kwargs)
    return found


def parts(method: str, values: np.ndarray, told: str = "here") -> pd.DataFrame:
    return rows(
        *(
            {
                "method": method,
                "metric": "deviance_part",
                "value": v,
                "implementation": told,
                "subject": f"sample/0000/{i:02d}",
            }
            for i, v in enumerate(values)
        )
    )


def predicted(method: str, values: np.ndarray) -> pd.DataFrame:
    """Predictions of two blocks, as they would be with other noise."""
    return rows(
        *(
            {
                "method": method,
                "metric": "predicted_error",
                "value": v,
                "subject": f"sample/{block:04d}/{i:02d}",
            }
            for block in range(2)
            for i, v in enumerate(values)
        )
    )


def measured(metric: str, split: str = "data", **values: float) -> pd.DataFrame:
    return rows(
        *(
            {"method": m, "metric": metric, "split": split, "value": v, "subject": "volume/v"}
            for m, v in values.items()
        )
    )


AHEAD = table({"input": list(BASE - 4), "rl": list(BASE), "rltv": list(BASE + 1.2 + JITTER)})


def test_the_method_that_is_ahead_and_not_vetoed_is_recommended() -> None:
    found = advice(AHEAD, labels={("signal", "rltv"): "λ 0.002, 59 iterations"})
    assert found.method == "rltv" and found.reference == "rl"
    assert found.sentence.startswith(
        "Use RLTV, λ 0.002, 59 iterations: its PSNR on simulated objects is 1.2 dB higher than "
    )
    assert "n\xa0=\xa08" in found.sentence and "95\xa0%" in found.sentence


@pytest.mark.parametrize(
    ("evidence", "check", "words"),
    [
        (
            pd.concat([parts("rl", PARTS), parts("rltv", PARTS + 0.02 + JITTER.repeat(2) / 50)]),
            "deviance",
            "predicts held-out photons of your data worse than RL",
        ),
        (
            pd.concat(
                [predicted("rl", np.zeros(16)), predicted("rltv", 0.03 + JITTER.repeat(2) / 9)]
            ),
            "predicted",
            "has a larger predicted error on your data than RL",
        ),
        (measured("light", rl=0.999, rltv=0.95), "light", "loses 5.0 % of the light in your data"),
        (measured("light", rl=1.001, rltv=1.06), "light", "adds 6.0 % of the light in your data"),
        (
            measured("dark_specks", "probe", rl=4.0, rltv=11.0),
            "specks",
            "turns dark noise into bright specks",
        ),
        (
            pd.concat(
                [
                    measured("dark_specks", "probe", rl=4.0, rltv=4.0),
                    measured("dark_objects", "probe", rl=0, rltv=2),
                ]
            ),
            "specks",
            "turns dark noise into bright specks",
        ),
        (
            measured("consistency_flagged", rl=0.0002, rltv=0.02),
            "consistency",
            "contradicts the raw data in 2.00 % of the voxels",
        ),
        (
            pd.concat(
                [
                    measured("staircase", rl=0.0001, rltv=0.024),
                    measured("staircase_rl", rl=0.0006, rltv=0.0006),
                ]
            ),
            "staircase",
            "turns smooth structure into flat patches",
        ),
    ],
)
@pytest.mark.parametrize("name", ["rltv", "rln"])
def test_each_veto_of_the_data_turns_the_choice(evidence, check, words, name) -> None:
    """Of a classical method and of a network, whichever leads on simulated objects."""
    tables = (t.replace({"method": {"rltv": name}}) for t in (AHEAD, evidence))
    found = advice(*tables, labels={("signal", "rl"): "17 iterations"})
    assert found.method == "rl"
    label = method_label(name)
    assert found.sentence == (
        f"Use RL, 17 iterations: the PSNR of {label} on simulated objects is 1.2 dB higher, but it "
        f"{words}."
    )
    assert [c.name for c in found.vetoes(name)] == [check] and not found.vetoes("rl")
    (reason,) = (c.sentence for c in found.vetoes(name))
    assert label in reason and any(c.isdigit() for c in reason)


@pytest.mark.parametrize(
    "evidence",
    [
        pd.concat([parts("rl", PARTS), parts("rltv", PARTS + JITTER.repeat(2))]),
        pd.concat([parts("rl", PARTS), parts("rltv", PARTS - 0.02)]),
        pd.concat([predicted("rl", PARTS), predicted("rltv", PARTS + 0.03 + JITTER.repeat(2))]),
        pd.concat([predicted("rl", PARTS), predicted("rltv", PARTS - 0.3)]),
        # The halves share noise, so that the deviance says nothing.
        pd.concat([parts("rl", PARTS, DEPENDENT), parts("rltv", PARTS + 0.02, DEPENDENT)]),
        pd.concat([parts("rl", PARTS[:3]), parts("rltv", PARTS[:3] + 0.02)]),
        measured("light", rl=0.999, rltv=0.98),
        measured("light", input=0.95, rl=0.94, rltv=0.92),
        measured("dark_specks", "probe", rl=4.0, rltv=5.5),
        measured("consistency_flagged", rl=0.0, rltv=0.0005),
        measured("light", rl=np.nan, rltv=np.nan),
        # As flat as Richardson-Lucy's estimate; of a flat object; and without a reference.
        pd.concat([measured("staircase", rltv=0.004), measured("staircase_rl", rltv=0.002)]),
        pd.concat([measured("staircase", rltv=0.3), measured("staircase_rl", rltv=0.04)]),
        measured("staircase", rltv=0.3),
    ],
)
def test_what_is_within_its_bound_or_not_measured_vetoes_nothing(evidence) -> None:
    found = advice(AHEAD, evidence)
    assert found.method == "rltv" and not found.vetoes("rltv")


NOISE = JITTER.repeat(2) / 10
FITS = pd.concat([predicted("rl", np.zeros(16)), predicted("rltv", NOISE - 0.03)])


def test_the_data_exclude_richardson_lucy_where_another_has_a_smaller_predicted_error() -> None:
    level = table({"rl": list(BASE), "rltv": list(BASE + 3 * JITTER)})
    found = advice(level, FITS)
    assert found.method == "rltv" and not found.vetoes("rl")
    assert found.sentence == (
        "Use RLTV: on your data, the predicted error of RL is larger than that of RLTV by 2.4 "
        "standard errors."
    )
    behind = table({"rl": list(BASE), "rltv": list(BASE - 1 + JITTER)})
    found = advice(behind, FITS)
    assert found.method == "rltv"
    assert "; RL's PSNR on simulated objects is 1.0 dB higher than that of RLTV" in found.sentence
    assert "; its PSNR on simulated objects is 1.2 dB higher" in advice(AHEAD, FITS).sentence
    paints = [
        measured("staircase", rl=0.0001, rltv=0.024),
        measured("staircase_rl", rl=0.0006, rltv=0.0006),
    ]
    assert advice(level, FITS, *paints).method == "rl"


def test_a_method_that_fits_worse_than_the_least_predicted_error_is_excluded() -> None:
    methods: dict = {"rl": {}, "rltv": {}, "rl_roughness": {}}
    leads = {"rl": BASE, "rltv": BASE + JITTER, "rl_roughness": BASE + 1 + JITTER}
    values = table({m: list(v) for m, v in leads.items()})
    third = predicted("rl_roughness", 0.5 * NOISE)  # no larger than Richardson-Lucy's
    found = advice(values, FITS, third, methods=methods)
    assert found.method == "rltv" and not found.vetoes("rl_roughness")
    alike = predicted("rl_roughness", 2 * NOISE - 0.03)  # simulated objects rank these two
    found = advice(values, FITS, alike, methods=methods)
    assert found.method == "rl_roughness"
    assert found.sentence.startswith(
        "Use RL roughness: on your data, the predicted error of RL is larger than that of RLTV by"
    )


def test_a_network_outside_its_range_is_vetoed() -> None:
    values = table({"rl": list(BASE), "rln": list(BASE + 2 + JITTER)})
    found = advice(values, misfits={"rln": ["v: there is more noise than it was trained on"]})
    assert found.method == "rl"
    assert found.sentence.endswith("2.0 dB higher, but it was trained on different data.")


def test_ties_go_to_richardson_lucy() -> None:
    for lead in (0.05, 0.15):  # below 0.1 dB; an interval with 0 inside
        noise = 0.01 * JITTER if lead < 0.1 else 3 * JITTER
        values = table({"rl": list(BASE), "rltv": list(BASE + lead + noise)})
        found = advice(values, measured("light", rl=1.0, rltv=1.0))
        assert found.method == "rl"
        assert found.sentence == (
            "Use RL: no other method has a clearly higher PSNR on simulated objects."
        )


def test_ties_between_others_go_to_the_simpler() -> None:
    values = {"rl": BASE, "rltv": BASE + 1 + JITTER, "rln": BASE + 1.05 + JITTER}
    assert advice(table({m: list(v) for m, v in values.items()})).method == "rltv"
    values["rln"] = BASE + 2 + JITTER
    assert advice(table({m: list(v) for m, v in values.items()})).method == "rln"


def test_two_volumes_allow_no_interval_and_no_lead() -> None:
    found = advice(table({"rl": [30.0, 29.0], "rltv": [33.0, 32.0]}))
    assert found.method == "rl" and "2 volumes are too few" in found.sentence
    assert np.isnan(found.ranks["rltv"]["simulated"].ahead.low)


def test_two_crops_of_one_volume_are_one_volume(tmp_path) -> None:
    (tmp_path / "mine.tif").touch()
    own = {
        "phantoms": {
            "objects": {"mine": {"path": str(tmp_path / "mine.tif")}},
            "test": {"count": 8, "recipes": {"mine": 1}},
        }
    }
    values = table({"rl": list(BASE), "rltv": list(BASE + 3 + JITTER)}, recipe="mine")
    found = advice(values, more=own)
    assert found.method == "rl" and found.ranks["rltv"]["simulated"].ahead.n == 1
    summary = summarise(values, settings=settings(**own))
    assert set(summary["n"]) == {1} and summary["low"].isna().all()


def test_doses_of_one_object_and_pairs_of_one_specimen_count_once() -> None:
    test = {"count": 2, "doses": [50, 200, 500], "recipes": {"tubules": 1}}
    doses = settings(phantoms={"test": test})
    values = table({"rl": [1.0, 2, 3, 7, 8, 9]})
    found = values_by_volume(with_volumes(values, settings=doses))
    assert list(found["rl"].values()) == [2, 8]
    pairs = values.assign(
        split="measured", subject=[f"pairs/test/{i:04d}" for i in range(6)], recipe=None
    )
    known = {f"signal/pairs/test/{i:04d}": "ab"[i // 4] for i in range(6)}
    found = values_by_volume(with_volumes(pairs, settings=settings(), specimens=known))
    assert found["rl"] == {"a": 3.25, "b": 8.5}


def test_richardson_lucy_is_vetoed_in_favour_of_the_raw_volume_alone() -> None:
    found = advice(AHEAD, measured("light", input=1.0, rl=0.85, rltv=0.99))
    assert found.method == "input"
    assert found.sentence == (
        "Use the raw volume: RL loses 15.0 % of the light in your data. Check `camera.offset` and "
        "the PSF, and run again."
    )
    found = advice(AHEAD, measured("dark_specks", "probe", rl=12.0, rltv=9.0))
    assert found.method == "rltv" and not found.vetoes("rl")
    flat = pd.concat(
        [
            measured("staircase", rl=0.02, rltv=0.02),
            measured("staircase_rl", rl=0.0006, rltv=0.0006),
        ]
    )
    found = advice(AHEAD, flat)  # its own patches are what others' are measured by
    assert found.method == "rl" and found.vetoes("rltv") and not found.vetoes("rl")
    behind = table({"input": list(BASE + 1), "rl": list(BASE + JITTER)})
    found = advice(behind)
    assert found.method == "input"
    assert found.sentence.startswith(
        "Use the raw volume: its PSNR on simulated objects is 1.0 dB higher than that of RL "
    )


def test_without_simulated_objects_nothing_is_ranked() -> None:
    light = measured("light", rl=1.0, rltv=1.0)
    found = advice(light)
    assert found.method == "rl" and not found.ranks
    assert found.sentence == (
        "Use RL: there are no simulated objects on which to compare the methods."
    )
    alone = advice(measured("light", rl=1.0), methods={"rl": {}})
    assert (
        alone.sentence
        == "Use RL: it is the only method tried, and no check on your data found a fault."
    )


def test_what_has_no_results_yet_is_named() -> None:
    """A page that is made after an error: some methods failed, or the data were not evaluated."""
    light, every = measured("light", rl=1.0), METHODS
    missing = "RLTV and RLN have no results yet."
    assert advice(light, methods=every).sentence == (
        "Use RL: it is the only method with results, and no check on your data found a fault. "
        + missing
    )
    simulated = table({"rl": list(BASE)})
    assert advice(simulated, methods=every).sentence == (
        "Use RL: it is the only method with results. RL was not checked on your data. " + missing
    )
    assert advice(simulated, methods={"rl": {}}).sentence == (
        "Use RL: it is the only method tried. RL was not checked on your data."
    )
    found = advice(AHEAD, light, methods=every).sentence  # RLTV was not restored, only tested
    assert found.startswith(
        "Use RLTV: its PSNR on simulated objects is 1.2 dB higher than that of RL (95"
    )
    assert found.endswith(
        "n\xa0=\xa08). RLTV was not checked on your data. RLN has no results yet."
    )
    found = advice(simulated, measured("light", rl=1.0, rltv=1.0), methods=every).sentence
    assert found == (
        "Use RL: no other method has been measured on simulated objects. RLN has no results yet."
    )
    found = advice(measured("light", rltv=1.0), methods=every)
    assert found.method is None and found.sentence == (
        "No recommendation: the other methods are compared with RL. RL and RLN have no results yet."
    )


def test_without_richardson_lucy_there_is_nothing_to_compare_with() -> None:
    values = table({"rltv": list(BASE), "rln": list(BASE + 1)})
    found = advice(values, methods={"rltv": {}, "rln": {}})
    assert found.method is None and "Add `rl: {}`" in found.sentence


def test_an_oracle_is_summarised_but_never_recommended() -> None:
    methods = {"rl": {}, "rltv": {}, "rltv_oracle": {"kind": "rltv", "tune_on": "test_truth"}}
    values = {"rl": BASE, "rltv": BASE + 1 + JITTER, "rltv_oracle": BASE + 5}
    metrics = table({m: list(v) for m, v in values.items()})
    assert advice(metrics, methods=methods).method == "rltv"
    summary = summarise(metrics, settings=settings(methods)).set_index("method")
    assert summary["rank"].dropna().to_dict() == {"rltv": 1, "rl": 2}
    assert method_label("rltv_oracle") == "RLTV (oracle: tuned on the test truth)"


def test_every_sentence_about_decibels_says_simulated_and_none_says_best() -> None:
    vetoed = measured("light", rl=1.0, rltv=0.9)
    texts = [
        advice(*tables).sentence
        for tables in ((AHEAD,), (AHEAD, vetoed), (table({"rl": list(BASE)}),))
    ]
    with_decibels = [s for text in texts for s in text.split(". ") if " dB" in s]
    assert len(with_decibels) >= 2 and all("simulated" in sentence for sentence in with_decibels)
    assert not [text for text in texts if "best" in text]


def test_programs_can_read_it() -> None:
    found = advice(AHEAD, measured("light", rl=1.0, rltv=0.9))
    content = json.loads(json.dumps(found.summary, allow_nan=False))
    assert content["method"] == "rl"
    assert content["vetoes"] == {
        "rl": [],
        "rltv": [{"check": "light", "reason": found.vetoes("rltv")[0].sentence}],
    }
    lines = recommendation_table([found])
    assert list(lines.columns) == list(COLUMNS)
    line = lines.query("method == 'rltv' and check == 'ahead_db'").iloc[0]
    assert line["value"] == pytest.approx(1.2, abs=0.05) and line["n"] == 8 and line["vetoed"]
    assert not line["recommended"]
    assert recommendation_table([]).empty


def test_settled_numbers_are_said() -> None:
    assert chosen_text({"iterations": 17, "tv_weight": 0.0}) == "17 iterations"
    assert chosen_text({"iterations": 59, "tv_weight": 0.00207}) == "λ 0.0021, 59 iterations"
    assert chosen_text({"offset": 3.0}) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(-0.0001), "0.00"),
        (number(-1.234), "−1.23"),
        (number(float("nan")), "–"),
        (quantity(1234.5), "1,234"),
        (quantity(-1234.5), "−1,234"),
        (quantity(0.01234), "0.0123"),
        (duration(61), "61 s"),
        (duration(3600), "60 min"),
        (duration(None), "–"),
        (date_in_words(datetime.date(2026, 12, 1)), "1 December 2026"),
        (date_in_words(datetime.datetime(2026, 3, 20, 9, 5)), "20 March 2026, 09:05"),
    ],
)
def test_numbers_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected


def test_the_page_warns_of_a_method_that_paints() -> None:
    flat = pd.concat(
        [
            measured("staircase", input=0.0, rl=0.0001, rltv=0.024),
            measured("staircase_rl", input=0.0006, rl=0.0006, rltv=0.0006),
        ]
    )
    (warning,) = staircase_warnings(flat)
    assert warning.startswith("RLTV turns smooth structure of your data into flat patches: 2.40 %")
    assert staircase_warnings(AHEAD) == []
