"""A camera's maps from its frames, and volumes corrected by them, on a simulated camera."""

import json
from dataclasses import asdict, dataclass

import numpy as np
import pytest
import tifffile

from decon3d.errors import DamagedError, UserError
from decon3d.restoration.sample import channel_camera
from decon3d.settings import CameraSection
from decon3d.volumes.camera import record_of, resolve_camera
from decon3d.volumes.camera_frames import measure_maps
from decon3d.volumes.camera_maps import Correction, load_maps, save_maps
from decon3d.volumes.ingest import ingest
from decon3d.volumes.reader import open_volume
from decon3d.volumes.statistics import channel_statistics

SHAPE = (120, 160)
BAD = [(5, 7), (5, 8), (60, 80), (119, 159)]
"""Hot, hot beside it, dead, and hot in the corner."""


@dataclass
class Simulated:
    """counts = gain · (photons + read noise) + offset, each from pixel to pixel."""

    offset: np.ndarray
    gain: np.ndarray
    read_noise: np.ndarray

    def frames(self, photons, count, rng, flicker=0.0):
        """Take frames of uint16 of some light (photons, Y X)."""
        lamp = rng.normal(1, flicker, (count, 1, 1))
        light = rng.poisson(lamp * np.broadcast_to(photons, (count, *SHAPE)))
        electrons = light + self.read_noise * rng.standard_normal((count, *SHAPE))
        counts = self.gain * electrons + self.offset
        for (y, x), level in zip(BAD, (3000, 900, 0, 2500), strict=True):
            counts[:, y, x] = level
        return np.clip(np.round(counts), 0, 65535).astype(np.uint16)


@pytest.fixture(scope="module")
def camera():
    rng = np.random.default_rng(1)
    offset = 100 + 2 * rng.standard_normal((1, SHAPE[1])) + rng.standard_normal(SHAPE)
    gain = 1 + 0.03 * rng.standard_normal(SHAPE) + 0.02 * rng.standard_normal((1, SHAPE[1]))
    gain[: SHAPE[0] // 2] *= 1.06  # two halves with amplifiers of their own
    return Simulated(offset, 2.17 * gain, 1.6 * np.exp(0.2 * rng.standard_normal(SHAPE)))


@pytest.fixture(scope="module")
def files(camera, tmp_path_factory):
    """Dark frames, and flat ones of uneven and flickering light."""
    folder, rng = tmp_path_factory.mktemp("frames"), np.random.default_rng(2)
    y, x = np.indices(SHAPE) / np.array(SHAPE)[:, None, None] - 0.5
    shade = 1 - 0.5 * (y**2 + x**2)
    tifffile.imwrite(folder / "dark.tif", camera.frames(0, 100, rng), photometric="minisblack")
    flat = camera.frames(2000 * shade, 120, rng, flicker=0.02)
    tifffile.imwrite(folder / "flat1.tif", flat[:70], imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(folder / "flat2.tif", flat[70:], imagej=True, metadata={"axes": "ZYX"})
    return folder


@pytest.fixture(scope="module")
def maps(files):
    return measure_maps([str(files / "dark.tif")], [str(files / f"flat{i}.tif") for i in (1, 2)])


def test_the_maps_are_those_of_the_camera_to_two_percent(camera, maps):
    good = ~maps.bad
    assert np.argwhere(maps.bad).tolist() == sorted(map(list, BAD))
    assert np.abs(maps.offset - camera.offset)[good].max() < 0.02 * 100
    error = (maps.gain / camera.gain - 1)[good]
    assert np.sqrt((error**2).mean()) < 0.01 and abs(error.mean()) < 0.01
    assert np.quantile(np.abs(error), 0.99) < 0.02
    about = maps.about
    assert about.gain == pytest.approx(camera.gain.mean(), rel=0.0005)
    assert about.offset == pytest.approx(camera.offset.mean(), abs=0.02)
    counts = np.sqrt((camera.gain * camera.read_noise)[good] ** 2 + 1 / 12)
    assert about.read_noise_counts == pytest.approx(np.sqrt((counts**2).mean()), rel=0.003)
    assert np.median(maps.read_noise[good] / counts) == pytest.approx(1, abs=0.02)
    assert (about.dark_frames, about.flat_frames, about.bad_pixels) == (100, 120, 4)
    assert about.gain_spread == pytest.approx(
        (camera.gain[good].std() / camera.gain[good].mean()), rel=0.1
    )
    assert about.warnings == ()


def test_corrected_counts_are_even_and_cut_alike(camera, maps, tmp_path):
    light = 300.0
    raw = camera.frames(light, 200, np.random.default_rng(3))
    tifffile.imwrite(tmp_path / "v.tif", raw, imagej=True, metadata={"axes": "ZYX"})
    volume = open_volume(tmp_path / "v.tif")
    correction = Correction(maps, level=100.0)
    everything = (slice(None),) * 3
    values = correction.read(volume, 0, 0, everything)
    assert values.dtype == np.float32
    expected = 100 + maps.about.gain * light
    mean = values.mean(axis=0, dtype=np.float64)
    assert mean.mean() == pytest.approx(expected, rel=0.0002)
    # What is left of the pattern is the noise of 200 frames; raw, the pixels differ by 4 %.
    assert (mean.std() / (expected - 100)) < 0.009 < raw.mean(axis=0)[~maps.bad].std() / 600
    assert np.abs(mean[maps.bad] / expected - 1).max() < 0.01
    for region in (
        (slice(3, 5), slice(5, 61), slice(8, 81)),
        (slice(0, 1), slice(119, 120), slice(150, 160)),
    ):
        np.testing.assert_array_equal(correction.read(volume, 0, 0, region), values[region])


def test_saturated_counts_have_one_level_above_all_others(maps):
    counts = np.full((1, *SHAPE), 4000, np.uint16)
    counts[0, 10, 10:20] = 4095
    correction = Correction(maps, level=100.0, saturation=4095)
    values = correction.apply(counts, slice(None), slice(None))
    assert (values[0, 10, 10:20] == np.float32(correction.saturated_level)).all()
    assert (values >= correction.saturated_level).sum() == 10


def test_maps_are_kept_and_damage_is_named(maps, tmp_path):
    path = tmp_path / "maps.json"
    save_maps(path, maps)
    kept = load_maps(path)
    np.testing.assert_array_equal(kept.gain, maps.gain)
    assert kept.about.gain == maps.about.gain and kept.about.digest
    path.with_suffix(".npz").write_bytes(path.with_suffix(".npz").read_bytes()[:-5] + b"12345")
    with pytest.raises(DamagedError, match=r"maps\.npz was changed"):
        load_maps(path)


def test_without_flat_frames_only_the_offset_is_made_even(files):
    about = measure_maps([str(files / "dark.tif")]).about
    assert about.gain is None and about.read_noise is None and about.flat_frames == 0


def write(path, frames):
    tifffile.imwrite(path, frames, photometric="minisblack")
    return [str(path)]


@pytest.mark.parametrize(
    ("role", "make", "said"),
    [
        ("dark", lambda d, f: d[:3], "cam.dark: 3 frames in 1 file; at least 10 are needed"),
        (
            "dark",
            lambda d, f: np.repeat(d[:1], 20, 0),
            "cam.dark: most pixels of .* have the same counts in all 20 frames",
        ),
        (
            "flat",
            lambda d, f: f[:, :50],
            "cam.flat: the frames of .* have 50 × 160 pixels .Y, X., but the dark ones have 120 × 160",
        ),
        (
            "flat",
            lambda d, f: d[:50],
            "cam.flat: (the frames of .* are .* counts brighter|a frame of .* is darker)",
        ),
        ("flat", lambda d, f: np.minimum(f, 4095), "cam.flat: .* are saturated"),
        ("dark", lambda d, f: f[:50], "cam: .* would be bad|cam.flat: a frame of .* is darker"),
    ],
)
def test_unusable_frames_are_refused(files, tmp_path, role, make, said):
    dark, flat = tifffile.imread(files / "dark.tif"), tifffile.imread(files / "flat1.tif")
    named = {"dark": [str(files / "dark.tif")], "flat": [str(files / "flat1.tif")]}
    named[role] = write(tmp_path / "x.tif", make(dark, flat))
    with pytest.raises(UserError, match=said):
        measure_maps(**named, key="cam")


def test_clipped_dark_frames_are_odd(camera, tmp_path):
    dim = Simulated(camera.offset - 98, camera.gain, camera.read_noise)
    found = measure_maps(write(tmp_path / "d.tif", dim.frames(0, 20, np.random.default_rng(4))))
    assert "so the noise is clipped" in found.about.warnings[0]


@pytest.fixture(scope="module")
def recorded(camera, maps, tmp_path_factory):
    """A volume of even light with bright and saturated places, as recorded, and the maps' file."""
    folder, rng = tmp_path_factory.mktemp("recorded"), np.random.default_rng(5)
    photons = np.full(SHAPE, 50.0)
    photons[40:60, 40:60] = 400
    raw = np.minimum(camera.frames(photons, 16, rng), 1023)
    raw[:, 100:104, 100:104] = 1023
    save_maps(folder / "maps.json", maps)
    return folder, raw


def ingested(folder, raw, *, metadata=None, **options):
    tifffile.imwrite(folder / "v.tif", raw, imagej=True, metadata=metadata or {"axes": "ZYX"})
    return ingest(
        str(folder / "v.tif"),
        record_path=folder / "v.json",
        name="v",
        channels={"gfp": 0},
        voxel_size_um=(0.3, 0.1, 0.1),
        times=None,
        key="datasets.worm",
        camera_maps=folder / "maps.json",
        **{"camera_bits": 10, **options},
    )


def test_an_ingested_volume_is_corrected_and_says_so(recorded, camera, maps):
    folder, raw = recorded
    record = ingested(folder, raw)
    values = record.open().read(0, 0, (slice(None),) * 3)
    assert (record.dtype, record.stored_dtype) == ("float32", "uint16")
    expected = maps.about.offset + maps.about.gain * 50
    assert values[:, :30].mean() == pytest.approx(expected, rel=0.001)
    assert record.calibration["level"] == maps.about.offset
    assert record.calibration["bad_pixels"] == 4 and record.calibration["digest"]
    assert record.saturated["0"] >= 16 * 16
    assert (values[:, 100:104, 100:104] == np.float32(record.saturation)).all()
    assert record.saturation > 1023
    found = channel_statistics([record], channel=0, camera_offset=None, fixed=None, key="k")
    assert found.normalisation.offset == pytest.approx(maps.about.offset)
    # The config's offset is the level; the results are then keyed on other counts.
    other = ingested(folder, raw, camera_offset=10.0)
    assert other.identity != record.identity
    assert other.open().read(0, 0, (slice(None),) * 3)[:, :30].mean() == pytest.approx(
        expected - maps.about.offset + 10, rel=0.002
    )


def test_the_frames_take_the_place_of_what_the_config_lacks(recorded, maps):
    record = ingested(*recorded)
    found = channel_camera([record], channel=0, times=None, seed=1)
    assert found == record_of(json.loads(json.dumps(asdict(found))))
    resolved = resolve_camera(CameraSection(), found)
    about = maps.about
    assert (resolved.offset, resolved.gain, resolved.read_noise) == pytest.approx(
        (about.offset, about.gain, about.read_noise)
    )
    assert resolved.gain_from == "frames" and resolved.assumed == ()
    mine = resolve_camera(CameraSection(gain=1.5), found)
    assert (mine.gain, mine.gain_from) == (1.5, "config")
    assert mine.read_noise == pytest.approx(about.read_noise_counts / 1.5)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (
            lambda v: v[:, :, :150],
            {},
            "worm.camera.dark: the frames have 120 × 160 pixels .Y, X., but .*v.tif has 120 × 150; give frames",
        ),
        (
            lambda v: np.where(np.indices(v.shape)[1] < 4, 0, v).astype(np.uint16),
            {},
            r"camera.dark: 3.\d\d% of the voxels of .*v.tif are 0",
        ),
        (
            lambda v: v,
            {"camera_bits": 9},
            "camera.bits: 9 bits end at 511, but .*v.tif has counts up to 1023",
        ),
        (lambda v: v, {"no_data": 0.0}, "no_data: 0.0 contradicts camera.dark"),
    ],
)
def test_a_volume_that_is_not_of_that_camera_is_refused(recorded, change, options, said):
    folder, raw = recorded
    with pytest.raises(UserError, match=said):
        ingested(folder, change(raw), **options)
