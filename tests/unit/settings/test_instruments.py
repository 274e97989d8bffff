"""What a dataset takes from its instrument, and what it is told about a wrong one."""

import copy
import datetime

import pytest
import yaml

from decon3d.errors import ConfigError
from decon3d.settings import load_settings, with_files
from support.paths import ROOT

INSTRUMENT = {
    "title": "Spinning disk 1",
    "camera": {"offset": 101, "gain": 0.46},
    "channels": {
        "gfp": {"emission_um": 0.525, "excitation_um": 0.488},
        "cherry": {"emission_um": 0.61, "pinhole_au": 0.8},
    },
    "objectives": {
        "60x": {
            "optics": {"modality": "confocal", "numerical_aperture": 1.4},
            "beads": [
                {
                    "date": "2026-06-01",
                    "path": "new.tif",
                    "bead_diameter_um": 0.1,
                    "channels": {"gfp": 0, "cherry": 1},
                },
                {
                    "date": "2026-01-15",
                    "path": "old.tif",
                    "bead_diameter_um": 0.2,
                    "channels": {"gfp": 0},
                    "half_width_um": [1, 0.5, 0.5],
                },
            ],
        },
        "20x": {
            "optics": {"modality": "widefield", "numerical_aperture": 0.8, "immersion_index": 1.0}
        },
    },
}
DATASET = {
    "volumes": "v.tif",
    "instrument": "spinning1_60x",
    "channels": {"gfp": {"index": 0}, "cherry": {"index": 1}},
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with a config folder, an instrument file in it, and empty data files."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf" / "instruments"
    folder.mkdir(parents=True)
    for name in ("new.tif", "old.tif"):
        (folder / name).touch()
    (tmp_path / "v.tif").touch()
    return folder


def load(place, dataset=None, **instruments):
    for name, value in (instruments or {"spinning1": INSTRUMENT}).items():
        (place / f"{name}.yaml").write_text(yaml.safe_dump(value, sort_keys=False))
    config = {"datasets": {"worm": {**DATASET, **(dataset or {})}}, "methods": {"rl": {}}}
    return load_settings(with_files(copy.deepcopy(config), [place])).datasets["worm"]


def problems(place, *arguments, **instruments):
    with pytest.raises(ConfigError) as caught:
        load(place, *arguments, **instruments)
    return caught.value.problems


def changed(path, value):
    instrument = copy.deepcopy(INSTRUMENT)
    here = instrument
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    return instrument


def test_files_and_indices_are_enough(place):
    worm = load(place)
    assert (worm.optics.numerical_aperture, worm.camera.offset, worm.camera.gain) == (
        1.4,
        101,
        0.46,
    )
    gfp, cherry = worm.channels["gfp"], worm.channels["cherry"]
    assert (gfp.emission_um, gfp.excitation_um, cherry.emission_um) == (0.525, 0.488, 0.61)
    assert (gfp.psf.path, gfp.psf.channel) == ("conf/instruments/new.tif", 0)
    assert cherry.optics_of(worm.optics).pinhole_au == 0.8
    assert gfp.optics_of(worm.optics) == worm.optics
    assert (cherry.psf.path, cherry.psf.channel, cherry.index) == ("conf/instruments/new.tif", 1, 1)


@pytest.mark.parametrize(
    ("date", "stack"),
    [
        ("2026-05-31", "old"),
        ("2026-06-01", "new"),
        ("2027-01-01", "new"),
        ("2025-01-01", "old"),
        (datetime.date(2026, 2, 1), "old"),
    ],
)
def test_a_date_chooses_the_newest_stack_up_to_it(place, date, stack):
    psf = load(place, {"date": date}).channels["gfp"].psf
    assert psf.path.endswith(f"{stack}.tif")
    assert psf.half_width_um == ((1, 0.5, 0.5) if stack == "old" else None)


def test_a_channel_without_beads_has_a_psf_from_theory(place):
    worm = load(place, {"instrument": "spinning1_20x"})
    assert worm.channels["gfp"].psf.source == "theory" and worm.optics.modality == "widefield"
    assert load(place, {"date": "2026-03-01"}).channels["cherry"].psf.source == "beads"


def test_keys_of_the_dataset_override(place):
    worm = load(
        place,
        {
            "optics": {"depth_um": 4, "immersion_index": 1.518},
            "camera": {"gain": None, "read_noise": 1.2},
            "channels": {
                "gfp": {"emission_um": 0.51, "psf": {"source": "theory"}},
                "mine": {"index": 1, "emission_um": 0.7},
            },
        },
    )
    assert (worm.optics.depth_um, worm.optics.immersion_index) == (4, 1.518)
    assert worm.optics.numerical_aperture == 1.4
    assert (worm.camera.offset, worm.camera.gain, worm.camera.read_noise) == (101, None, 1.2)
    assert worm.channels["gfp"].psf.source == "theory" and worm.channels["gfp"].emission_um == 0.51
    assert worm.channels["gfp"].excitation_um == 0.488
    assert worm.channels["mine"].psf.source == "theory"


FRAMES = [
    {"date": "2026-01-10", "dark": "dark.tif", "flat": ["flat1.tif", "flat2.tif"]},
    {"date": "2026-06-10", "dark": "later_*.tif"},
]


@pytest.mark.parametrize(("date", "first"), [("2026-03-01", True), (None, False)])
def test_a_date_chooses_the_camera_frames_too(place, date, first):
    for name in ("dark", "flat1", "flat2", "later_1"):
        (place / f"{name}.tif").touch()
    camera = load(place, {"date": date}, spinning1={**INSTRUMENT, "frames": FRAMES}).camera
    assert (camera.offset, camera.gain) == (101, 0.46)
    folder = "conf/instruments"
    assert camera.dark == f"{folder}/{'dark.tif' if first else 'later_*.tif'}"
    assert camera.flat == ([f"{folder}/flat1.tif", f"{folder}/flat2.tif"] if first else None)
    off = load(
        place, {"camera": {"dark": None, "flat": None}}, spinning1={**INSTRUMENT, "frames": FRAMES}
    )
    assert off.camera.dark is None


def test_the_only_objective_needs_no_name_and_an_instrument_may_stand_in_the_config(place):
    single = {**INSTRUMENT, "objectives": {"60x": INSTRUMENT["objectives"]["20x"]}}
    for name in ("wf", "wf_60x"):
        assert load(place, {"instrument": name}, wf=single).optics.modality == "widefield"
    config = {
        "datasets": {"worm": {**DATASET, "instrument": "inline"}},
        "methods": {"rl": {}},
        "instruments": {"inline": single},
    }
    assert load_settings(with_files(config, [])).datasets["worm"].optics.numerical_aperture == 0.8


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (
            {"instrument": "spinning_60x"},
            "datasets.worm.instrument: unknown instrument 'spinning_60x'; known: spinning1_20x, spinning1_60x; did you mean spinning1_60x?",
        ),
        (
            {"instrument": "spinning1_63x"},
            "datasets.worm.instrument: unknown instrument 'spinning1_63x'; known: spinning1_20x, spinning1_60x; did you mean spinning1_60x?",
        ),
        (
            {"instrument": "spinning1"},
            "datasets.worm.instrument: spinning1 has the objectives 60x, 20x; name one of them, e.g. spinning1_60x",
        ),
        (
            {"channels": {"gfp": {}, "rfp": {"index": 1}}},
            "datasets.worm.channels.rfp: the instrument spinning1_60x has no channel 'rfp', only gfp, cherry; use one of these names, or give emission_um",
        ),
        (
            {"date": "1.6.2026"},
            "datasets.worm.date: '1.6.2026' is not a date; give YYYY-MM-DD, e.g. 2026-03-02",
        ),
        (
            {"date": 20260601},
            "datasets.worm.date: 20260601 is not a date; give YYYY-MM-DD, e.g. 2026-03-02",
        ),
        (
            {"camera": {"flat": "v.tif"}},
            "datasets.worm.camera.flat: the gain also needs dark frames; add `dark`",
        ),
        (
            {"camera": {"dark": "no/*.tif"}},
            "datasets.worm.camera.dark: no file matches no/*.tif; check the pattern",
        ),
        (
            {
                "volumes": None,
                "simulate": {"a": {"shape": [8, 8, 8]}},
                "voxel_size_um": [1, 1, 1],
                "camera": {"dark": "v.tif"},
            },
            "datasets.worm: camera.dark does not apply to simulated volumes, only to volumes as the camera recorded them; remove it (camera: {dark: null, flat: null}), and give offset, gain and read_noise",
        ),
        ({"instrument": 5}, "datasets.worm.instrument: must be text, not 5"),
        ({"optics": 5}, "datasets.worm.optics: must be a section with keys, not 5"),
        (
            {"optics": {"numerical_aperture": 1.6}},
            "datasets.worm.optics.immersion_index: 1.515 must be greater than numerical_aperture 1.6; check both (water 1.333, glycerol 1.47, oil 1.515)",
        ),
    ],
)
def test_one_problem_of_a_dataset_is_one_clear_line(place, dataset, said):
    assert said in problems(place, dataset)


BEADS = ("objectives", "60x", "beads", 0)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            ("objectives", "60x", "optics", "numerical_apertur"),
            1.4,
            "objectives.60x.optics.numerical_apertur: unknown key; did you mean numerical_aperture?",
        ),
        (
            (*BEADS, "date"),
            "June",
            "objectives.60x.beads[0].date: 'June' is not a date; give YYYY-MM-DD, e.g. 2026-03-02",
        ),
        (
            (*BEADS, "date"),
            "2026-01-15",
            "objectives.60x: two bead stacks of the channel gfp have the date 2026-01-15; keep one",
        ),
        (
            (*BEADS, "channels"),
            {"rfp": 0},
            "objectives.60x.beads[0].channels names the unknown channel 'rfp'; this instrument has gfp, cherry",
        ),
        (
            (*BEADS, "bead_diameter_um"),
            100,
            "objectives.60x.beads[0].bead_diameter_um: must be at most 5, not 100",
        ),
        (
            ("channels", "gfp", "emission_um"),
            525,
            "channels.gfp.emission_um: 525 µm is outside 0.2–2 µm; did you mean 0.525?",
        ),
        (
            ("frames",),
            [FRAMES[0], FRAMES[0]],
            "two entries of `frames` have the date 2026-01-10; keep one",
        ),
        (("objectives",), {}, "objectives: is empty; give at least one entry"),
        (
            ("objectives", "60x", "optics", "modality"),
            "two_photon",
            "channels.gfp.excitation_um is missing; two-photon excitation needs the laser's wavelength in µm, e.g. 0.92",
        ),
    ],
)
def test_one_problem_of_an_instrument_is_one_line_with_its_file(place, path, value, said):
    instrument = changed(path, value)
    if path[-1] == "modality":
        del instrument["channels"]["gfp"]["excitation_um"], instrument["channels"]["cherry"]
        instrument["objectives"]["60x"]["beads"] = []
    found = problems(place, spinning1=instrument)
    assert found == [f"{place / 'spinning1.yaml'}: {said}"]


def test_a_wrong_file_is_one_line(place):
    (place / "spinning1.yaml").write_text("camera: {offset: 1}\ncamera: {offset: 2}\n")
    config = {"datasets": {"worm": DATASET}, "methods": {"rl": {}}}
    with pytest.raises(ConfigError, match="lines 1 and 2: the key camera is given twice"):
        with_files(config, [place])
    (place / "spinning1.yaml").write_text("- a\n")
    with pytest.raises(ConfigError, match="must be a section with keys"):
        with_files(config, [place])
    # Another microscope's file does not matter, until a name is unknown: then the others are listed.
    (place / "other.yaml").write_text("a: [")
    load(place)
    said = "datasets.worm.instrument: unknown instrument 'x'; known: spinning1_20x, spinning1_60x"
    assert problems(place, {"instrument": "x"}) == [said]
    (found,) = problems(place, {"instrument": "other_60x"})
    assert "other.yaml cannot be read: " in found


def test_a_missing_stack_is_named_and_those_that_are_not_used_may_be_missing(place):
    (place / "old.tif").unlink()
    load(place)
    (place / "new.tif").unlink()
    said = "conf/instruments/new.tif does not exist; check the path"
    assert problems(place) == [
        f"datasets.worm.channels.{c}.psf.path: {said}" for c in ("gfp", "cherry")
    ]


def test_nothing_is_read_for_datasets_without_an_instrument(tmp_path):
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    assert with_files(config, [tmp_path]) is config


def test_the_shipped_instrument_is_valid(monkeypatch, reference_data):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DECON3D_REFERENCE_DATA", str(reference_data))
    config = yaml.safe_load((ROOT / "config" / "examples" / "instrument.yaml").read_text())
    settings = load_settings(with_files(config, [ROOT / "config" / "examples" / "instruments"]))
    assert settings.datasets["cells"].channels["dapi"].psf.source == "beads"
