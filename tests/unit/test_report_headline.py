"""The headline says what the numbers say, whoever wins."""

import numpy as np
import pandas as pd
import pytest

from decon3d.evaluation.records import COLUMNS
from decon3d.report.headline import Verdict, verdicts
from decon3d.report.labels import method_label
from decon3d.report.tables import summarise
from decon3d.report.templating import duration, number, quantity
from decon3d.settings import Settings, load_settings

METHODS = {"rl": {}, "rltv": {}, "rln": {}}


def settings(methods: dict = METHODS) -> Settings:
    dataset = {
        "simulate": {"v": {"shape": [8, 8, 8]}},
        "voxel_size_um": [0.1, 0.1, 0.1],
        "optics": {"modality": "widefield", "numerical_aperture": 1.2, "immersion_index": 1.33},
        "channels": {"signal": {"emission_um": 0.5}},
    }
    return load_settings({"datasets": {"d": dataset}, "methods": methods})


def table(
    values: dict[str, list[float]], *, recipe: str = "tubules", variant: str = "affine"
) -> pd.DataFrame:
    rows = [
        ("d", "signal", method, f"phantoms/test/{i:04d}", "test", recipe, 100.0, "psnr", variant,
         "volume", 1.0, "here", value, "dB")
        for method, series in values.items()
        for i, value in enumerate(series)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def said(values: dict[str, list[float]], **kwargs) -> Verdict:
    (verdict,) = verdicts(table(values, **kwargs), settings=settings())
    return verdict


BASE = np.array([20.0, 24, 22, 27, 25, 21, 23, 26])
JITTER = np.array([0.1, -0.1, 0.2, -0.2, 0.1, -0.1, 0.0, 0.0])


def test_a_network_that_loses_is_said_to_lose() -> None:
    found = said({"input": BASE - 3, "rl": BASE - 1, "rltv": BASE + 0.8 + JITTER, "rln": BASE})
    assert (found.group, found.winner) == ("unseen", "rltv")
    assert found.sentences[0].startswith("RLTV restores better than RLN by 0.80 dB (95\xa0%")
    assert "n\xa0=\xa08" in found.sentences[0]
    assert found.sentences[0].endswith("on structure that no training contained.")


def test_a_network_that_wins_is_said_to_win() -> None:
    found = said({"rltv": BASE, "rln": BASE + 2 + 4 * JITTER}, recipe="rln_mixed")
    assert (found.group, found.winner) == ("seen", "rln")
    assert found.sentences[0].startswith("RLN restores better than RLTV by 2.0 dB")


def test_an_oracle_is_shown_but_never_competes() -> None:
    methods = {**METHODS, "rltv_oracle": {"kind": "rltv", "tune_on": "test_truth"}}
    values = {"rltv": BASE, "rln": BASE - 2 + JITTER, "rltv_oracle": BASE + 5}
    chosen = settings(methods)
    (verdict,) = verdicts(table(values), settings=chosen)
    assert verdict.winner == "rltv"
    assert not [s for s in verdict.sentences if "oracle" in s]
    summary = summarise(table(values), settings=chosen).set_index("method")
    assert summary["rank"].dropna().to_dict() == {"rltv": 1, "rln": 2}
    assert summary.loc["rltv_oracle", "reference"] == "rltv"
    assert method_label("rltv_oracle") == "RLTV (oracle: tuned on the test truth)"


def test_an_interval_with_zero_is_no_clear_difference() -> None:
    found = said({"rltv": BASE, "rln": BASE + 0.02 + JITTER})
    assert found.winner is None and found.summary == "No clear winner"
    assert "No clear difference between RLN and RLTV" in found.sentences[0]


def test_a_runner_up_of_the_same_family_is_not_passed_over() -> None:
    found = said({"rl": BASE + JITTER, "rltv": BASE + 0.02, "rln": BASE - 2 + JITTER})
    assert found.winner is None
    assert found.sentences[0].startswith("RLTV restores better than RLN by 2.0")
    assert found.sentences[1].startswith("No clear difference between RLTV and RL ")


def test_one_volume_proves_little() -> None:
    found = said({"rltv": [30.0], "rln": [29.0]})
    assert found.winner is None and found.summary == "RLTV leads"
    assert "proves little" in found.sentences[0]


def test_worse_than_nothing_is_said() -> None:
    found = said({"input": BASE, "rltv": BASE + 1 + JITTER, "rln": BASE - 1})
    assert "RLN is no better than the blurred image left as it is (−1.0 dB)." in found.sentences


def test_another_order_without_the_match_is_said() -> None:
    matched = table({"rltv": BASE + 1 + JITTER, "rln": BASE})
    raw = table({"rltv": BASE - 4, "rln": BASE - 2}, variant="unmatched")
    (found,) = verdicts(pd.concat([matched, raw]), settings=settings())
    assert any(
        s.startswith("Without matching brightness, RLN is ahead by 2.0") for s in found.sentences
    )


def test_one_method_alone_is_measured_against_the_blurred_image() -> None:
    (found,) = verdicts(
        table({"input": BASE - 3, "rltv": BASE + JITTER}), settings=settings({"rltv": {}})
    )
    assert found.summary == "RLTV alone" and "gains 3.0" in found.sentences[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(-0.0001), "0.00"), (number(-1.234), "−1.23"), (number(float("nan")), "–"),
        (quantity(1234.5), "1,234"), (quantity(0.01234), "0.0123"), (duration(61), "61 s"),
        (duration(3600), "60.0 min"), (duration(None), "–"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected
