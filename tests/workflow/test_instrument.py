"""`snakemake instrument`, and a dataset that takes optics, camera and PSF from an instrument."""

import json

import numpy as np
import pytest
import tifffile
import yaml

from decon3d.optics.build import make_psf
from decon3d.report.methods_text import methods_paragraph
from decon3d.report.run_warnings import data_warnings
from decon3d.settings import Channel, Optics, load_settings, with_files
from decon3d.volumes.volume_record import load_record
from support.paths import ROOT
from support.simulated_beads import write_beads
from support.workflow import Workplace

VOXEL = [0.2, 0.07, 0.07]
OPTICS = {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333}
CONFIG = {
    "datasets": {
        "worm": {
            "volumes": "v.tif",
            "voxel_size_um": VOXEL,
            "instrument": "scope_60x",
            "date": "2026-09-01",
            "channels": {"gfp": {"index": 0}},
        }
    },
    "methods": {"rl": {"iterations": 2}},
}
INSTRUMENT = {
    "channels": {"gfp": {"emission_um": 0.525}, "other": {"emission_um": 0.525}},
    "frames": [{"date": "2026-03-01", "dark": "dark.tif", "flat": "flat.tif"}],
    "objectives": {
        "60x": {
            "optics": OPTICS,
            "pixel_size_um": 0.065,
            "beads": [
                {
                    "date": "2026-01-01",
                    "path": "beads.tif",
                    "bead_diameter_um": 0.05,
                    "voxel_size_um": VOXEL,
                    "channels": {"gfp": 0, "other": 1},
                }
            ],
        }
    },
}


def write_files(folder):
    """A volume, dark and flat frames of one camera, and a stack of beads in two channels."""
    rng = np.random.default_rng(0)
    offset = 100 + 3 * rng.standard_normal((40, 48))
    gain = 2 * (1 + 0.03 * rng.standard_normal((40, 48)))

    def recorded(photons):
        electrons = rng.poisson(photons) + 1.5 * rng.standard_normal(photons.shape)
        return np.round(offset + gain * electrons).clip(0).astype(np.uint16)

    light = np.full((12, 40, 48), 5.0)
    light[4:8, 10:20, 10:20] = 100
    instruments = folder / "instruments"
    instruments.mkdir()
    tifffile.imwrite(folder / "v.tif", recorded(light), imagej=True, metadata={"axes": "ZYX"})
    for name, level in (("dark", 0.0), ("flat", 1000.0)):
        frames = recorded(np.full((30, 40, 48), level))
        tifffile.imwrite(instruments / f"{name}.tif", frames, photometric="minisblack")
    bead = make_psf(
        optics=Optics.model_validate(OPTICS),
        channel=Channel(emission_um=0.525),
        voxel_size_um=tuple(VOXEL),
        key="k",
    ).data
    write_beads(
        instruments / "beads.tif", bead, shift=(0.5, 0, 1), shape=(33, 80, 120), rows=2, columns=3
    )
    (instruments / "scope.yaml").write_text(yaml.safe_dump(INSTRUMENT))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp("instrument"))
    write_files(place.folder)
    place.configure(CONFIG)
    run = place.run("instrument", "results/worm/finished/rl.json")
    assert run.code == 0, run.output[-5000:]
    return place.folder, run


def test_the_page_shows_beads_shift_and_camera(finished):
    folder, run = finished
    assert run.jobs["instrument_beads"] == 2 and run.jobs["instrument_camera"] == 1
    page = (folder / "results" / "instruments" / "scope.html").read_text()
    for shown in (
        "gfp, 2026-01-01",
        "other against gfp, 2026-01-01",
        "30 dark, 30 flat",
        "days old (stale_after_days: 180)",
    ):
        assert shown in page, shown
    shift = json.loads(
        (folder / "results/instruments/scope/beads/60x/2026-01-01.other.json").read_text()
    )["chromatic"]
    assert np.divide(shift["shift_um"], VOXEL) == pytest.approx((0.5, 0, 1), abs=0.05)


def test_the_dataset_is_corrected_and_hears_what_is_stale(finished, monkeypatch):
    folder, run = finished
    assert run.jobs["camera_maps"] == 1
    monkeypatch.chdir(folder)
    record = load_record("results/worm/ingest/v.json")
    assert record.dtype == "float32" and record.calibration["flat_frames"] == 30
    values = record.open().read(0, 0, (slice(0, 3), slice(None), slice(None)))
    assert values.mean() == pytest.approx(100 + 2 * 5, rel=0.02)
    settings = load_settings(with_files(CONFIG, ["instruments"]))
    named = {"dataset": "worm", "settings": settings}
    said = " ".join(data_warnings(folder, **named))
    assert "the beads of gfp of 2026-01-01 are 243 days older than the volumes" in said
    assert "the camera's frames of 2026-03-01 are 184 days older" in said
    assert "the pixels are 0.07 × 0.07 µm (Y, X), but the instrument's are 0.065 µm" in said
    words = " ".join(methods_paragraph(folder, **named, splits=set()).sentences)
    assert "corrected pixel by pixel with 30 dark and 30 flat frames" in words
    assert "averaged from fluorescent beads" in words


def test_nothing_is_done_twice_and_an_unknown_instrument_is_one_line(finished):
    folder, _ = finished
    place = Workplace(folder)
    again = place.run("-n", "instrument", "results/worm/finished/rl.json")
    assert "Nothing to be done" in again.output, again.output[-2000:]
    wrong = place.snakemake(
        "results/instruments/nowhere.html",
        "-n",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--configfile",
        "config.yaml",
    )
    assert wrong.code == 1 and "unknown instrument 'nowhere'; known: scope" in wrong.output
    assert "Traceback" not in wrong.output
