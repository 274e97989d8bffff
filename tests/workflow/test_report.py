"""The preview before a run."""

import re

import pytest

from support.configs import simulated_dataset
from support.workflow import Workplace


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp("report"))
    place.configure(
        {
            "datasets": {"d": simulated_dataset(preview={"roi": [[2, 10], [4, 28], [8, 32]]})},
            "methods": {"rl": {"iterations": 4}, "rltv": {}, "rln": {}},
        }
    )
    run = place.run("preview")
    assert run.code == 0, run.output[-3000:]
    assert set(run.jobs) == {"psf", "simulate", "ingest", "preview_dataset", "preview"}
    assert "Finished; open results/d/preview.html" in run.output
    return place


def test_a_preview_shows_what_is_ready_and_says_what_is_not(place):
    page = (place.folder / "results/d/preview.html").read_text()
    assert "Voxels Z 2 to 9, Y 4 to 27, X 8 to 31 of small" in page
    assert (
        "searched on one phantom of each recipe" in page
        and "not trained yet (10,000 steps)" in page
    )
    labels = re.findall(r'"label": "(.*?)"', page)
    assert labels == ["raw", "RL", "RLTV", "truth"]
