"""One small dataset goes the way of `make validate VALIDATE=recommendation`."""

import numpy as np
import pytest

from validation import validate_recommendation as validation


def study(*_arguments) -> dict:
    """Phantoms on which the priors are ahead, and what they were tuned to."""
    leads = {"input": -4.0, "rl": 0.0}
    return {
        "tuned": {
            "rltv": {"tv_weight": 0.5, "iterations": 40},
            "rl_roughness": {"roughness_weight": 5.0, "iterations": 40},
        },
        "rows": [
            [method, f"phantoms/test/{i:04d}", "tubules", 25.0 + i + leads.get(method, 2 + i / 20)]
            for i in range(6)
            for method in ("input", *validation.method_settings().methods)
        ],
    }


def test_priors_that_are_far_too_strong_are_vetoed_by_the_data(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(validation, "phantom_study", study)
    dataset = validation.Dataset("textured nuclei", 400.0, 0)
    line = validation.measure(dataset, tmp_path, shape=(16, 40, 40))
    found = validation.recommendation_of(line)
    for method in ("rltv", "rl_roughness"):
        assert line["truth"]["rl"] > line["truth"][method] + 0.2
        assert found.vetoes(method)
    assert found.method == "rl"
    text = validation.table([{**line, "state": ""}])
    assert "| textured nuclei | 400 | 1 |" in text


@pytest.mark.parametrize("kind", list(validation.OBJECTS))
def test_every_kind_of_object_has_light_and_structure(kind) -> None:
    exposure = validation.expose(validation.Dataset(kind, 80.0, 0), (12, 24, 24))
    assert np.isfinite(exposure.images[0]).all()
    assert exposure.object.std() > 0 and exposure.object.min() >= 0


def test_there_are_sixty_datasets_of_different_cameras() -> None:
    names = [d.name for d in validation.datasets()]
    assert len(set(names)) == len(names) >= 60
