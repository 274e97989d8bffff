"""Recorded ratios: which ratio of a run counts as worse, and what is written."""

from dataclasses import replace

import pytest

from bench.recorded import Ratio, load, regressions, save

BEFORE = Ratio(0.62, 0.60, 0.64, "slower")
RATE = Ratio(2.0, 1.9, 2.1, "slower", more_is_better=True)


@pytest.mark.parametrize(
    ("median", "least", "most", "said"),
    [
        (0.75, 0.74, 0.76, ["slower: RL 0.62 → 0.75 (+21 %)"]),
        (0.75, 0.63, 0.80, []),  # the spreads overlap
        (0.68, 0.67, 0.69, []),  # 9.7 %
        (0.69, 0.67, 0.72, ["slower: RL 0.62 → 0.69 (+11 %)"]),
        (0.40, 0.39, 0.41, []),  # better
    ],
)
def test_a_ratio_is_worse_above_a_tenth_and_beyond_the_spreads(median, least, most, said):
    now = replace(BEFORE, median=median, least=least, most=most)
    assert regressions({"RL": BEFORE}, {"RL": now}) == said


@pytest.mark.parametrize(
    ("median", "most", "said"),
    [
        (1.6, 1.7, ["slower: rate 2 → 1.6 (-20 %)"]),
        (1.6, 1.95, []),
        (1.85, 1.87, []),
        (2.6, 2.7, []),
    ],
)
def test_where_more_is_better_less_is_worse(median, most, said):
    now = replace(RATE, median=median, least=1.5, most=most)
    assert regressions({"rate": RATE}, {"rate": now}) == said


def test_what_was_not_recorded_or_not_measured_is_not_compared():
    assert regressions({"a": BEFORE}, {"b": replace(BEFORE, median=9.0, least=9.0)}) == []
    larger = replace(BEFORE, worse="larger", median=0.93, least=0.9)
    assert regressions({"memory": BEFORE}, {"memory": larger}) == [
        "larger: memory 0.62 → 0.93 (+50 %)"
    ]


def test_a_record_keeps_what_was_not_measured_again(tmp_path):
    path = tmp_path / "recorded.yaml"
    assert load(path) == ({}, {})
    save({"date": "2026-01-01"}, {"λ, 64×64": BEFORE, "rate": RATE}, path)
    again = replace(BEFORE, median=1 / 3)
    save({"date": "2026-01-02"}, {"λ, 64×64": again}, path)
    run, ratios = load(path)
    assert run == {"date": "2026-01-02"}
    assert ratios == {"rate": RATE, "λ, 64×64": replace(again, median=0.333)}
