"""The page of a microscope, from records of its bead stacks and frames."""

import datetime

import pytest

from decon3d import paths
from decon3d.files import write_record
from decon3d.report.instrument import build_instrument_page
from decon3d.settings import Instrument

STACK = {"path": "a.tif", "bead_diameter_um": 0.1, "channels": {"gfp": 0, "cherry": 1}}
INSTRUMENT = Instrument.model_validate(
    {
        "title": "Spinning <disk> 1",
        "camera": {"offset": 100, "gain": 2.2},
        "channels": {"gfp": {"emission_um": 0.525}, "cherry": {"emission_um": 0.61}},
        "frames": [{"date": d, "dark": "d.tif"} for d in ("2026-01-01", "2026-09-01")],
        "objectives": {
            "60x": {
                "optics": {
                    "modality": "confocal",
                    "numerical_aperture": 1.2,
                    "immersion_index": 1.333,
                },
                "beads": [{"date": d, **STACK} for d in ("2026-04-01", "2026-01-01", "2026-05-01")],
            },
            "20x": {"optics": {"modality": "confocal", "numerical_aperture": 0.8}},
        },
    }
)


def stack(width=0.25, chromatic=None, **changes):
    return {
        "problem": None,
        "fwhm_um": [0.7, width, 0.25],
        "theory_fwhm_um": [0.65, 0.22, 0.22],
        "beads": 17,
        "found": 20,
        "noise_of_peak": 0.01,
        "voxel_size_um": [0.2, 0.07, 0.07],
        "warnings": [],
        "chromatic": chromatic,
        **changes,
    }


def frames(**changes):
    return {
        "problem": None,
        "offset": 100.2,
        "gain": 2.17,
        "read_noise_counts": 3.4,
        "offset_spread": 2.1,
        "gain_spread": 0.03,
        "noisy_pixels": 12,
        "bad_pixels": 34,
        "shape": [10, 10],
        "dark_frames": 100,
        "flat_frames": 50,
        "warnings": [],
        **changes,
    }


@pytest.fixture
def page(tmp_path):
    """A function that writes the page from records that differ in some places, and reads it."""

    def built(today="2026-10-01", camera=None, **changed):
        shift = {"shift_um": [0.12, 0, -0.03], "error_um": [0.01, 0.001, 0.001], "beads": 15}
        for day in ("2026-01-01", "2026-04-01", "2026-05-01"):
            for channel in ("gfp", "cherry"):
                values = stack(chromatic=shift if channel == "cherry" else None)
                values |= changed.get(f"{channel}_{day.replace('-', '')}", {})
                write_record(tmp_path / paths.instrument_beads("s", "60x", day, channel), values)
        for day, values in (("2026-01-01", {}), ("2026-09-01", camera or {})):
            write_record(tmp_path / paths.instrument_camera("s", day), frames(**values))
        path = build_instrument_page(
            tmp_path,
            name="s",
            instrument=INSTRUMENT,
            file="s.yaml",
            today=datetime.date.fromisoformat(today),
        )
        return path.read_text()

    return built


def test_a_sound_microscope_has_no_warnings(page):
    text = page()
    assert "Warnings" not in text
    assert "Spinning &lt;disk&gt; 1" in text and "s.yaml" in text
    for shown in (
        "gfp, 2026-01-01",
        "0.700",
        "17 of 20",
        "0.120 ± 0.010",
        "cherry against gfp",
        "100.20 ± 2.10",
        "2.17 ± 3.0 %",
        "3.40 (1.57 photons)",
        "point spread functions are computed from theory",
        "reported but not corrected",
    ):
        assert shown in text, shown
    assert text.count("data:image/webp") == 2  # widths and camera


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"today": "2026-11-01"},
            "60x, gfp: the newest beads of 2026-05-01 are 184 days old (stale_after_days: 180); record new ones",
        ),
        ({"today": "2027-06-01"}, "camera: the newest frames of 2026-09-01 are 273 days old"),
        (
            {"gfp_20260501": {"fwhm_um": [0.7, 0.31, 0.25]}},
            "60x, gfp, 2026-05-01: the PSF is 24% wider along Y than the median of the earlier stacks",
        ),
        (
            {"gfp_20260401": {"problem": "no bead is above the noise"}},
            "60x, gfp, 2026-04-01: not measured: no bead is above the noise",
        ),
        (
            {"gfp_20260501": {"warnings": ["only 2 beads were averaged"]}},
            "60x, gfp, 2026-05-01: only 2 beads were averaged",
        ),
        (
            {"camera": {"offset": 107.0}},
            "camera, 2026-09-01: the offset is 107 counts, but 100.2 in the 2026-01-01 frames",
        ),
        (
            {"camera": {"offset": 107.0}},
            "the offset is 107 counts, but 100 in the instrument&#39;s description",
        ),
        (
            {"camera": {"gain": 1.9}},
            "the gain is 1.9 counts per photon, but 2.17 in the 2026-01-01 frames",
        ),
        (
            {"camera": {"problem": "3 frames in 1 file"}},
            "camera, 2026-09-01: not measured: 3 frames in 1 file",
        ),
    ],
)
def test_what_is_stale_or_has_changed_is_said(page, changes, said):
    assert said in page(**changes)


def test_warnings_of_older_stacks_are_not_repeated(page):
    assert "Warnings" not in page(gfp_20260101={"warnings": ["only 2 beads were averaged"]})
