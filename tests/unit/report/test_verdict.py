"""The first screen answers whether a method is better than the raw volume, and its limits."""

import numpy as np
import pandas as pd
import pytest

from decon3d import paths
from decon3d.evaluation.not_verifiable import Support
from decon3d.files import write_json
from decon3d.optics.psf import normalised_psf, save_psf
from decon3d.report.recommendation import recommend
from decon3d.report.verdict import better_than_raw, judge
from support.report_rows import rows, settings, table

BASE = np.array([20.0, 24, 22, 27, 25, 21, 23, 26])
JITTER = np.array([0.1, -0.1, 0.2, -0.2, 0.1, -0.1, 0.0, 0.0])
HALF_DB = 20 * np.log10(2)  # half the error
ADD = "add `phantoms: {}` to the config and run again."


def photons(**deviance: float) -> pd.DataFrame:
    """Held-out deviances of eight parts of the data."""
    return rows(
        *(
            {"method": m, "metric": "deviance_part", "value": v + j, "subject": f"sample/0/{i}"}
            for m, v in deviance.items()
            for i, j in enumerate(JITTER * (0.01 if m == "rl" else 0.02))
        )
    )


def light(**values: float) -> pd.DataFrame:
    return rows(*({"method": m, "metric": "light", "value": v} for m, v in values.items()))


def advice(*tables: pd.DataFrame, methods: dict | None = None):
    metrics = pd.concat(tables)
    (found,) = recommend(metrics, settings=settings(methods or {"rl": {}}))
    return found, metrics


def better(*tables: pd.DataFrame, pairs: bool = False, methods: dict | None = None) -> str:
    return better_than_raw(*advice(*tables, methods=methods), pairs=pairs)


def test_a_smaller_error_on_simulated_objects_is_a_yes() -> None:
    values = table({"input": list(BASE), "rl": list(BASE + HALF_DB + JITTER)})
    text = better(values)
    assert text.startswith(
        "Yes: compared with the raw volume, RL has a 50 % smaller error on simulated objects "
        "(PSNR +6.0 dB, 95 % interval 5.9 … 6.1 dB, n = 8)."
    )
    assert "held-out" not in text
    both = better(values, photons(input=1.4, rl=1.1))
    assert both == text + " It predicts held-out photons of your data better."
    assert better(values, photons(input=1.1, rl=1.4)) == text


def test_a_method_that_is_worse_than_the_raw_volume_is_a_no() -> None:
    found, metrics = advice(table({"input": list(BASE + HALF_DB + JITTER), "rl": list(BASE)}))
    assert found.method == "input" and found.judged == "rl"
    text = better_than_raw(found, metrics, pairs=True)
    assert text.startswith(
        "No: compared with the raw volume, RL has a 100 % larger error on simulated objects "
        "(PSNR −6.0 dB, 95 % interval −6.1 … −5.9 dB, n = 8)."
    )


def test_equal_errors_and_contradictions_are_said() -> None:
    level = table({"input": list(BASE), "rl": list(BASE + 3 * JITTER)})
    assert better(level).startswith(
        "Not clear: compared with the raw volume, RL has no clearly other error on simulated"
    )
    ahead = table({"input": list(BASE), "rl": list(BASE + 4 + JITTER)})
    own = table({"input": [30.0], "rl": [28.0]}).assign(split="volume", recipe=None)
    text = better(ahead, own)
    assert text.startswith("The measurements differ: compared with the raw volume, RL has a 37 %")
    assert "and a 26 % larger error on your own volumes with truth (PSNR −2.0 dB, n = 1)." in text


def test_volumes_that_only_one_of_them_has_compare_nothing() -> None:
    first, second = table({"input": [20.0, 21.0]}), table({"rl": [24.0, 25.0]})
    second["subject"] = ["phantoms/test/0008", "phantoms/test/0009"]
    assert better(first, second, pairs=True).startswith("Nothing here measured")


def test_two_volumes_give_no_yes() -> None:
    text = better(table({"input": [20.0, 21.0], "rl": [24.0, 25.0]}))
    assert text.startswith("Measured on few volumes: compared") and "n = 2)" in text


def test_the_recommended_method_is_compared_not_the_reference() -> None:
    values = {"input": BASE, "rl": BASE + 2, "rltv": BASE + HALF_DB + JITTER}
    text = better(table({m: list(v) for m, v in values.items()}), methods={"rl": {}, "rltv": {}})
    assert "RLTV has a 50 % smaller error" in text


def test_without_truth_the_page_says_what_was_measured_and_what_to_run() -> None:
    there = light(rl=1.0)
    text = better(there, photons(input=1.4, rl=1.1))
    assert text.startswith(
        "On your data, RL predicts held-out photons better than the raw volume ("
    )
    assert "(misfit 1.10 after 1.40; noise alone gives about 1)" in text
    assert text.endswith(ADD)
    text = better(there, photons(input=1.1, rl=1.4))
    assert text.startswith("On your data, RL does not clearly predict held-out photons better")
    text = better(there)
    assert text.startswith("Nothing here measured whether RL is better than the raw volume.")
    assert text.endswith(ADD)
    assert settings({"rl": {}}, phantoms={}).has_pairs("d")  # what the sentence asks for
    assert better(there, pairs=True).endswith("has no results yet; run again.")
    other = photons(input=1.4, rl=1.1).assign(channel="red")  # of another channel
    (found, *_), metrics = recommend(pd.concat([there, other]), settings=settings()), other
    assert better_than_raw(found, metrics, pairs=False).startswith("Nothing here measured")


def check(flagged: float, *places: float, **more) -> dict:
    worst = [{"z": z, "voxel": [0, 0, 0], "um": [0, 0, 0]} for z in places]
    return {
        "channel": "signal",
        "judged": 1.0,
        "flagged": flagged,
        "worst": worst,
        "not_verifiable": None,
        **more,
    }


@pytest.fixture
def judged(tmp_path):
    grid = np.indices((9, 21, 21)) - np.array([4, 10, 10])[:, None, None, None]
    psf = np.exp(-((grid[0] / 1.5) ** 2 + (grid[1] / 2) ** 2 + (grid[2] / 2) ** 2) / 2)
    save_psf(normalised_psf(psf, (0.3, 0.1, 0.1), {}), tmp_path / paths.psf("d", "signal"))

    def found(drawn=("worst_a_signal_rl",), **volumes):
        maps = {name: {"checks": checks} for name, checks in volumes.items()}
        write_json(tmp_path / paths.consistency_record("d", "rl"), maps)
        item, metrics = advice(light(rl=1.0))
        return judge(
            tmp_path, item, metrics, dataset="d", settings=settings({"rl": {}}), drawn=drawn
        )

    return found


def test_the_agreement_with_the_data_is_never_rounded_up(judged) -> None:
    one = judged(a=[check(0.0015159, -8.9, 7.2, 4.0)])
    assert one.agreement.startswith(
        "Blurred again by the PSF, RL agrees with your data in 99.84 % of the voxels, allowing for"
    )
    assert one.places == "2 places differ by 5 σ or more" and one.link == "worst_a_signal_rl"
    assert "in 99.99 % of the voxels" in judged(a=[check(1e-6, 5.0)]).agreement
    none = judged(a=[check(0.0, 4.9)])
    assert "in all voxels" in none.agreement and none.places == ""


def test_of_several_volumes_the_one_that_agrees_least_counts(judged) -> None:
    red = check(0.5, *[9.0] * 3, channel="red")
    empty = check(0.0) | {"judged": 0.0}
    found = judged(a=[check(0.001, 6.0), red, empty], b=[check(0.02, *[-12.0] * 10)])
    assert "in 98.00 % of the voxels or more of each volume" in found.agreement
    assert found.places.startswith("At least 11 places") and found.link == "consistency"
    assert judged(drawn=(), a=[check(0.001, 6.0)]).link == "trust"


def test_the_finest_detail_is_that_of_the_psf(judged) -> None:
    limits = judged(a=[check(0.0)]).limits
    # Gaussian of σ = 0.2 µm: |OTF| = 0.01 at sqrt(2 ln 100) / (2 π σ) = 2.42 / µm; along Z, σ is
    # 0.45 µm, and 1.07 / µm. The grid's steps are 1 / 9.6 µm.
    assert limits == "Detail finer than 0.42 µm (0.96 µm along Z) cannot be verified."
    more = judged(a=[check(0.0, not_verifiable=0.021)]).limits
    assert more.endswith("cannot be verified; it is 2.1 % of the restored structure's energy.")


def test_a_single_plane_has_no_finest_detail_along_z() -> None:
    psf = np.exp(-((np.indices((21, 21)) - 10) ** 2).sum(0) / 8)[np.newaxis]
    along_z, in_plane = Support(normalised_psf(psf, (0.3, 0.1, 0.1), {})).finest_um((1, 96, 96))
    assert np.isinf(along_z) and in_plane == pytest.approx(0.413, abs=0.02)


def test_without_a_map_the_page_says_so(judged) -> None:
    found = judged()
    assert found.agreement == "RL has not been compared with your data yet; run again."
    assert found.places == found.limits == ""


def test_the_table_of_checks_shows_what_was_measured_for_the_reference() -> None:
    shares = rows(
        *(
            {"method": m, "metric": "consistency_flagged", "value": v}
            for m, v in {"rl": 0.0015, "rltv": 0.0016}.items()
        )
    )
    found, _ = advice(
        shares, photons(rl=1.1, rltv=1.0), light(rl=1.0, rltv=1.0), methods={"rl": {}, "rltv": {}}
    )
    assert found.cell("rl", "consistency") == "0.15 %" and not found.vetoes("rl")
    assert found.cell("rl", "deviance") == "reference" != found.cell("rltv", "deviance")
    assert found.result("rl") == "passed"
    alone, _ = advice(shares[shares["method"] == "rl"])
    assert alone.cell("rl", "consistency") == "0.15 %" and alone.result("rl") == "not checked"
    assert alone.sentence == "Use RL: it is the only method tried. RL was not checked on your data."
