"""Data beside phantoms in the report: the figure, its caption, and the warning."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from decon3d import paths
from decon3d.evaluation.likeness import measure_likeness
from decon3d.files import write_record
from decon3d.optics.psf import normalised_psf
from decon3d.phantoms.conditions import Conditions
from decon3d.phantoms.imaging import SimulatedCamera, simulate
from decon3d.phantoms.stores import make_split
from decon3d.report.entries import Job
from decon3d.report.likeness import draw_likeness, likeness_warnings
from decon3d.seeds import generator
from decon3d.settings import load_settings
from decon3d.volumes import camera as cameras
from decon3d.volumes.ingest import ingest

VOXEL = (0.3, 0.13, 0.13)
SETTINGS = load_settings(
    {
        "datasets": {
            "d": {
                "simulate": {"v": {"shape": [14, 60, 60]}},
                "voxel_size_um": VOXEL,
                "optics": {
                    "modality": "confocal",
                    "numerical_aperture": 1.2,
                    "immersion_index": 1.333,
                },
                "channels": {"c": {"emission_um": 0.525}},
            }
        },
        "methods": {"rl": {}},
        "phantoms": {
            "shape": [12, 48, 48],
            "test": {"count": 2, "recipes": {"tubules": 1, "spheres": 1}},
        },
    }
)
CAMERA = SimulatedCamera(100, 1, 1)
PSF = normalised_psf(np.ones((3, 3, 3)), VOXEL, {})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A dataset of tubules at 100 photons, ingested, and its test phantoms."""
    root: Path = tmp_path_factory.mktemp("place")
    image = simulate(
        "tubules",
        shape=(14, 60, 60),
        psf=PSF.data,
        voxel_size_um=VOXEL,
        photons=100,
        background_photons=5,
        camera=CAMERA,
        rng=generator(1, "data"),
    ).images[0]
    tifffile.imwrite(root / "v.tif", np.rint(image).astype(np.uint16))
    ingest(
        str(root / "v.tif"),
        record_path=root / paths.ingested("d", "v"),
        name="v",
        channels={"c": 0},
        voxel_size_um=VOXEL,
        times=None,
        key="c",
    )
    phantoms, dataset = SETTINGS.phantoms, SETTINGS.datasets["d"]
    make_split(
        root / paths.phantoms("d", "c", "test"),
        split=phantoms.test,
        name="test",
        phantoms=phantoms,
        psf=PSF,
        optics=dataset.optics,
        channel=dataset.channels["c"],
        conditions=Conditions((80, 120), 5, CAMERA, ("phantoms.x is assumed",)),
        seed=1,
        stream=("d", "c"),
    )
    return root


def measured(root: Path, factor: float) -> None:
    """Compare the phantoms with the data as if they were `factor` times as bright."""
    image = 100 + factor * (tifffile.imread(root / "v.tif").astype(np.float32) - 100)
    record = measure_likeness(
        [image[:12, :48, :48]],
        store=root / paths.phantoms("d", "c", "test"),
        camera=cameras.Camera(100, 1, 1),
    )
    write_record(root / paths.likeness("d", "c"), record)


def test_data_and_phantoms_stand_on_one_page(place):
    measured(place, 1)
    ((entry, drawn),) = draw_likeness(Job(place, "d", SETTINGS), "c")
    by_recipe = {row[0]: dict(zip(entry.columns, row, strict=True)) for row in entry.rows}
    assert by_recipe["tubules"]["Compared with your data"] == "similar"
    assert "photons" in entry.caption
    images = [image for axes in _all_axes(drawn) for image in axes.get_images()]
    assert len(images) == 1 + 2 + 2
    assert len({image.get_clim() for image in images}) == 1  # one grey scale


def test_what_is_unlike_is_a_warning_and_what_was_assumed_is_said(place):
    measured(place, 1)
    warnings = likeness_warnings(place, dataset="d", settings=SETTINGS)
    assert warnings == ["c: phantoms.x is assumed."]
    measured(place, 12)
    (_, unlike) = likeness_warnings(place, dataset="d", settings=SETTINGS)
    assert "differ from your data" in unlike and "brighter" in unlike


def _all_axes(figure):
    found = list(figure.axes)
    for part in figure.subfigs:
        found += list(part.axes)
    return dict.fromkeys(found)
