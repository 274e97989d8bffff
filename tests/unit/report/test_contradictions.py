"""What contradicts the config or its instrument is said, and nothing else."""

import datetime

import numpy as np
import pytest
import tifffile

from decon3d.report.contradictions import (
    acquired_on,
    below_the_offset,
    other_pixels,
    out_of_date,
    stated_otherwise,
)
from decon3d.settings import Dataset, Instrument
from decon3d.volumes.ingest import ingest

STACK = {"path": "a.tif", "bead_diameter_um": 0.1, "channels": {"gfp": 0}}
FRAMES = [{"date": "2026-01-01", "dark": "dark.tif"}]
INSTRUMENT = Instrument.model_validate(
    {
        "channels": {"gfp": {"emission_um": 0.525}},
        "frames": FRAMES,
        "objectives": {
            "60x": {
                "optics": {
                    "modality": "confocal",
                    "numerical_aperture": 1.2,
                    "immersion_index": 1.333,
                },
                "pixel_size_um": 0.1,
                "beads": [{"date": "2026-03-01", **STACK}],
            }
        },
    }
)


def dataset(camera=None, date=None, emission=0.525):
    return Dataset.model_validate(
        {
            "volumes": "v.tif",
            "date": date,
            "camera": camera or {},
            "optics": {"modality": "confocal", "numerical_aperture": 1.2, "immersion_index": 1.333},
            "channels": {
                "gfp": {
                    "emission_um": emission,
                    "excitation_um": 0.488,
                    "psf": {"source": "beads", "path": "a.tif", "bead_diameter_um": 0.1},
                }
            },
        }
    )


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """The record of an OME-TIFF whose XML states a microscope."""
    folder = tmp_path_factory.mktemp("stated")
    xml = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Instrument ID="Instrument:0"><Objective ID="Objective:0" LensNA="1.4"/></Instrument>
<Image ID="Image:0"><AcquisitionDate>2026-05-11T10:00:00</AcquisitionDate>
<ObjectiveSettings ID="Objective:0" RefractiveIndex="1.515"/>
<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="16" SizeY="16" SizeZ="4" SizeC="1" SizeT="1"
 PhysicalSizeX="0.2" PhysicalSizeY="0.2" PhysicalSizeZ="0.3">
<Channel ID="Channel:0" EmissionWavelength="610" ExcitationWavelength="490"/><TiffData/></Pixels></Image></OME>"""
    counts = np.full((4, 16, 16), 90, np.uint16)
    counts[2, 5:9, 5:9] = 900
    tifffile.imwrite(
        folder / "v.ome.tif", counts, description=xml, metadata=None, photometric="minisblack"
    )
    found = ingest(
        str(folder / "v.ome.tif"),
        record_path=folder / "v.json",
        name="v",
        channels={"gfp": 0},
        voxel_size_um=None,
        times=None,
        key="d",
    )
    return vars(found)


def test_a_file_that_states_another_microscope_is_heard(record):
    found = stated_otherwise(dataset(), record)
    advice = "; the config's value was used; check which one is right"
    assert found == [
        f"the file states NA 1.4, but optics.numerical_aperture is 1.2{advice}",
        f"the file states a refractive index of 1.515, but optics.immersion_index is 1.333{advice}",
        f"the file states 610 nm, but channels.gfp.emission_um is 0.525 µm{advice}",
    ]
    assert stated_otherwise(dataset(), {}) == []
    assert acquired_on(dataset(), record) == datetime.date(2026, 5, 11)
    assert acquired_on(dataset(date="2026-05-01"), record) == datetime.date(2026, 5, 1)
    assert acquired_on(dataset(), {}) is None


def test_pixels_of_another_objective_are_seen(record):
    (found,) = other_pixels(INSTRUMENT.objectives["60x"], record)
    assert found.startswith("the pixels are 0.2 × 0.2 µm (Y, X), but the instrument's are 0.1 µm")
    assert other_pixels(INSTRUMENT.objectives["60x"], {"voxel_size_um": (0.3, 0.1, 0.101)}) == []


def test_a_volume_darker_than_the_camera_is_seen(record):
    def found(offset):
        return below_the_offset(dataset({"offset": offset, "gain": 2, "read_noise": 1}), record)

    (line,) = found(100)
    assert "less than the camera's offset (camera.offset: 100)" in line
    assert found(92) == found(None) == []


def test_dark_frames_of_other_settings_are_seen():
    def found(level):
        calibration = {"level": level, "read_noise_counts": 3.0}
        record = {"darkest": {"0": 98.0}, "calibration": calibration}
        return below_the_offset(dataset({"dark": "d.tif"}), record)

    assert found(100.0) == []
    (line,) = found(110.0)
    assert "from its frames: 110" in line


@pytest.mark.parametrize(
    ("day", "camera", "said"),
    [
        ("2026-03-20", {}, []),
        ("2026-08-28", {}, []),
        ("2026-08-29", {}, ["the beads of gfp of 2026-03-01 are 181 days older"]),
        (
            "2026-08-29",
            {"dark": "dark.tif"},
            [
                "beads of gfp of 2026-03-01 are 181 days older",
                "frames of 2026-01-01 are 240 days older",
            ],
        ),
        ("2025-08-01", {}, ["the beads of gfp of 2026-03-01 are 212 days newer"]),
    ],
)
def test_old_beads_and_frames_are_named_with_their_age(day, camera, said):
    used = dataset(camera, date=day)
    found = out_of_date(used, INSTRUMENT, INSTRUMENT.objectives["60x"], acquired=used.date)
    assert len(found) == len(said) and all(s in f for s, f in zip(said, found, strict=True))


def test_beads_of_the_dataset_itself_have_no_age():
    own = dataset(date="2027-01-01")
    psf = {"source": "beads", "path": "mine.tif", "bead_diameter_um": 0.1}
    own = own.model_copy(
        update={
            "channels": {
                "gfp": own.channels["gfp"].model_copy(
                    update={"psf": type(own.channels["gfp"].psf).model_validate(psf)}
                )
            }
        }
    )
    assert out_of_date(own, INSTRUMENT, INSTRUMENT.objectives["60x"], acquired=own.date) == []
