"""Consistency: white z on what fits, flags on what does not, and what it cannot see."""

import os
import signal

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05.image import Image

from decon3d.errors import UserError
from decon3d.evaluation import consistency_maps, dark_noise, deviance
from decon3d.evaluation.consistency import Checker, Scale, beyond, smooth
from decon3d.evaluation.consistency_maps import (
    ChannelCheck,
    check_volume,
)
from decon3d.evaluation.consistency_summary import volume_records, worst_places
from decon3d.evaluation.map_sensitivity import (
    DETECTABLE,
    draw_places,
    map_sensitivity,
    pattern_of,
)
from decon3d.evaluation.noise import Noise, load_noise, measure_noise
from decon3d.evaluation.not_verifiable import Support, not_verifiable
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.phantoms.imaging import SimulatedCamera, simulate
from decon3d.restoration.restorers import State
from decon3d.seeds import generator
from decon3d.volumes.camera import Camera
from decon3d.volumes.reader import open_volume
from support.gaussians import gaussian_psf
from support.volumes import own_volume, run_ingest

VOXEL = (0.3, 0.15, 0.15)
SHAPE = (32, 96, 96)
WHITE = ((0.0, 0.0),) * 3


def stretched_psf(stretch: float = 1.0) -> Psf:
    """A PSF 2 × 1.6 × 1.6 voxels (σ) wide, or stretched."""
    sigma = np.multiply(stretch, (2, 1.6, 1.6))
    return normalised_psf(gaussian_psf((17, 15, 15), sigma), VOXEL, {})


PSF = stretched_psf()


def phantom(photons: float, *, recipe: str = "rln_mixed", shape=SHAPE):
    """A true object and its image through the PSF: offset 100, 5 photons of background."""
    exposure = simulate(
        recipe,
        shape=shape,
        psf=PSF.data,
        voxel_size_um=VOXEL,
        photons=photons,
        background_photons=5,
        camera=SimulatedCamera(100, 1, 1.5),
        rng=generator(7, "consistency", recipe),
    )
    return exposure.object, exposure.images[0]


def checker(noise: Noise, *, psf: Psf = PSF, **options) -> Checker:
    return Checker(psf=psf, noise=noise, background=105.0, **options)


def inside(values, by=(8, 7, 7)):
    """Leave out what light from beyond the faces reaches."""
    return values[tuple(slice(b, -b) for b in by)]


@pytest.mark.parametrize("correlated", [False, True])
def test_z_is_white_on_what_fits(correlated):
    """Unit variance within 5 %, with the noise measured in the images themselves."""
    truth, _ = phantom(50)
    blurred = checker(Noise(1, 0, 1, WHITE, 0, "data")).blurred(
        beyond(truth, [(8, 8), (7, 7), (7, 7)]), beyond(truth, [(8, 8), (7, 7), (7, 7)]) > 0
    )[0]
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((*SHAPE[:2], SHAPE[2] + 1))
    mixed = (noise[..., 1:] + 0.3 * noise[..., :-1]) / np.sqrt(1.09)
    expected = blurred + 105
    sigma = np.sqrt(np.maximum(expected - 100, 0) + 1.5**2)
    image = (expected + sigma * (mixed if correlated else noise[..., 1:])).astype(np.float32)
    measured = measure_noise([image])
    if correlated:
        assert measured.correlation[2][0] == pytest.approx(0.3 / 1.09, abs=0.04)
    else:
        assert measured.correlation == WHITE
    z, scale = checker(measured, epsilon=0.0).whole(image, truth)
    assert scale.fitted and scale.alpha == pytest.approx(1, abs=0.005)
    assert scale.beta == pytest.approx(0, abs=0.03)
    assert np.std(inside(z)) == pytest.approx(1, abs=0.05)
    assert np.mean(inside(z)) == pytest.approx(0, abs=0.1)


def test_the_noise_of_a_camera_is_found():
    rng = np.random.default_rng(1)
    light = np.broadcast_to(np.linspace(5, 200, 96), (32, 96, 96))
    noise = measure_noise([2.0 * rng.poisson(light).astype(np.float32) + 100])
    assert noise.gain == pytest.approx(2, rel=0.05)
    assert noise.variance(np.array([300.0]))[0] == pytest.approx(400, rel=0.05)


def test_too_little_data_leave_the_camera_to_the_config(tmp_path):
    camera = Camera(offset=100, gain=2, read_noise=3)
    noise = measure_noise([np.full((4, 8, 8), 100, np.uint16)], camera=camera)
    assert noise.measured == "camera"
    assert noise.variance(np.array([100.0, 300.0])) == pytest.approx([36, 436])
    noise.save(tmp_path / "noise.json")
    assert load_noise(tmp_path / "noise.json") == noise


def test_even_places_are_no_noise():
    """Fill that ingest could not tell from darkness must not make the noise small."""
    rng = np.random.default_rng(1)
    image = 100 + rng.poisson(np.broadcast_to(np.linspace(5, 50, 96), SHAPE)).astype(np.float32)
    whole = measure_noise([image[:, :, 30:]])
    image[:, :, :30] = 104
    assert measure_noise([image]).gain == pytest.approx(whole.gain, rel=0.01)


def test_drawn_noise_is_what_was_asked_for():
    noise = Noise(1.0, 0.0, 1.0, ((0.0, 0.0), (0.0, 0.0), (0.27, 0.0)), 0, "data")
    values = noise.draw((32, 96, 96), counts=50, rng=np.random.default_rng(0))
    assert values.mean() == pytest.approx(50, abs=0.05) and values.std() == pytest.approx(50**0.5)
    kernels = [np.array([0.25, 0.5, 0.25])] * 3
    plain = np.prod([np.square(k).sum() for k in kernels]) * 50
    smoothed = smooth(values - 50, kernels).var()
    assert smoothed / plain == pytest.approx(noise.excess(kernels), rel=0.05)
    assert noise.excess(kernels) == pytest.approx(1 + 2 * 0.27 * 0.25 / 0.375)


def matched_filter_amplitude(noise: Noise, counts: float, snr: float) -> float:
    """Light of a point whose image stands out by `snr` for a filter of its own shape."""
    return snr * np.sqrt(noise.variance(np.array([counts]))[0] / np.square(PSF.data).sum())


def test_invented_beads_are_flagged_and_the_rest_is_not():
    """20 beads of matched-filter SNR 8 in the dark around a true object.

    In the dark: on bright structure they hide below ε, which is asserted as well.
    """
    truth, image = phantom(200, recipe="tubules")
    noise = measure_noise([image])
    judge = checker(noise)
    light = judge.blurred(truth, np.ones(truth.shape, bool))[0]
    dark = np.pad(light < 5, [(8, 8), (7, 7), (7, 7)])
    rng = generator(1, "beads")
    places: list[np.ndarray] = []
    for place in rng.permutation(np.argwhere(dark)):
        if all(np.abs((place - p) / (4, 4, 4)).max() > 2 for p in places):
            places.append(place)
        if len(places) == 20:
            break
    assert len(places) == 20
    with_beads = truth.copy()
    near = np.zeros(truth.shape, bool)
    for place in places:
        at = tuple(place)
        with_beads[at] += matched_filter_amplitude(noise, float(light_at(light, at)) + 105, 8)
        near[tuple(slice(max(i - r, 0), i + r + 1) for i, r in zip(at, (6, 6, 6), strict=True))] = (
            True
        )
    z, _ = judge.whole(image, with_beads)
    flags = z <= -5
    found = sum(flags[tuple(slice(i - 1, i + 2) for i in place)].any() for place in places)
    assert found >= 18
    rest = (np.abs(z[~near]) >= 5).mean()
    print(f"{found} of 20 beads and {rest:.2%} of the rest flagged")
    assert rest <= 0.001


def light_at(light, place):
    return light[tuple(i - h for i, h in zip(place, (8, 7, 7), strict=True))]


def test_a_bead_hides_in_bright_surroundings():
    truth = np.full(SHAPE, 2105.0, np.float32)
    image = np.random.default_rng(0).poisson(truth - 100).astype(np.float32) + 100
    noise = Noise(1.0, -100.0, 1.0, WHITE, 0, "data")
    with_bead = truth.copy()
    with_bead[16, 48, 48] += matched_filter_amplitude(noise, 2105, 8)
    strict = checker(noise, epsilon=0.0).whole(image, with_bead, Scale(1, 0, True))[0]
    lenient = checker(noise).whole(image, with_bead, Scale(1, 0, True))[0]
    assert strict[16, 48, 48] < -5 and abs(lenient[16, 48, 48]) < 2


@pytest.mark.parametrize("photons", [500, 5000])
@pytest.mark.parametrize("stretch", [0.9, 1.1])
def test_a_psf_ten_percent_wrong_flags_little_of_the_true_structure(photons, stretch):
    truth, image = phantom(photons)
    noise = measure_noise([image])
    z, _ = checker(noise, psf=stretched_psf(stretch)).whole(image, truth)
    structure = truth > 105 + 0.1 * (truth.max() - 105)
    share = (np.abs(z[structure]) >= 5).mean()
    print(f"{photons} photons, PSF × {stretch}: {share:.2%} of the structure flagged")
    assert share <= 0.05
    if photons == 5000:  # what ε is for
        naive = checker(noise, psf=stretched_psf(stretch), epsilon=0.0).whole(image, truth)[0]
        assert (np.abs(naive[structure]) >= 5).mean() > 0.2


def test_missed_light_is_positive_and_invented_negative():
    truth, image = phantom(500)
    noise = measure_noise([image])
    dimmed = truth.copy()
    dimmed[10:20, 20:40, 20:40] = 105
    z = checker(noise).whole(image, dimmed, Scale(1, 0, True))[0]
    bright = truth[10:20, 20:40, 20:40].max() > 400
    assert bright and z[10:20, 20:40, 20:40].max() > 5
    assert (z <= -5).mean() < 0.001


def test_nothing_is_told_where_there_is_no_data():
    truth, image = phantom(200)
    image[:, :, :30] = np.nan
    garbage = truth.copy()
    garbage[:, :, :30] = 1e6
    judge = checker(measure_noise([image]))
    z = judge.whole(image, garbage, Scale(1, 0, True))[0]
    assert np.isnan(z[:, :, :30]).all() and np.isfinite(z[:, :, 30:]).all()
    assert (np.abs(z[:, :, 30:]) >= 5).mean() < 0.001


def test_worst_places_lie_apart_and_in_order():
    z = np.zeros((8, 30, 30), np.float32)
    z[2, 5, 5], z[2, 5, 6], z[4, 20, 20], z[0, 0, 0] = -9, -8.5, 7, np.nan
    found = worst_places(z, apart=(2, 3, 3), count=2)
    assert found == [(2, 5, 5, -9), (4, 20, 20, 7)]


def test_energy_outside_the_pass_band_is_not_verifiable():
    """None of a blurred object's, most of white noise's, all of a pattern's beyond the cut-off."""
    truth, _ = phantom(200)
    support = Support(PSF)
    judge = checker(Noise(1, 0, 1, WHITE, 0, "data"))
    blurred = judge.blurred(truth, np.ones(truth.shape, bool))[0]
    assert not_verifiable([blurred], support) < 1e-4
    noise = np.random.default_rng(0).standard_normal(SHAPE)
    passed = np.fft.fftn(PSF.data, SHAPE, axes=(0, 1, 2))
    share = (np.abs(passed) < support.contrast).mean()
    assert not_verifiable([noise], support) == pytest.approx(share, abs=0.03)
    x = np.arange(SHAPE[2])
    checks = 1000 + 500 * np.broadcast_to((-1.0) ** x, SHAPE)
    assert not_verifiable([checks], support) > 0.99
    assert 0.01 < not_verifiable([truth], support) < 0.5
    assert np.isnan(not_verifiable([np.full(SHAPE, 7.0)], support))


def test_places_without_data_are_no_energy_outside_the_pass_band():
    truth, _ = phantom(200)
    judge = checker(Noise(1, 0, 1, WHITE, 0, "data"))
    blurred = judge.blurred(truth, np.ones(truth.shape, bool))[0]
    z, _, x = np.indices(blurred.shape)
    slanted = (x < 25 - z // 2) | (x > 81 - z)
    assert slanted.mean() > 0.35
    for values in (blurred, blurred + 1000):
        assert not_verifiable([np.where(slanted, np.nan, values)], Support(PSF)) < 4e-4
    noise = np.random.default_rng(0).standard_normal(blurred.shape)
    whole, part = (
        not_verifiable([n], Support(PSF)) for n in (noise, np.where(slanted, np.nan, noise))
    )
    assert part == pytest.approx(whole, abs=0.004)


def restored_store(path, values):
    """A finished restoration of one time point and channel."""
    own_volume(
        path,
        values.astype(np.float32),
        chunk=(16, 32, 32),
        voxel_size_um=VOXEL,
        channel="gfp",
        attributes={"decon3d": {"key": "k"}},
    )


@pytest.fixture
def volume(tmp_path):
    """A raw volume with fill at one side, its restoration (the truth and a bead), its checks."""
    truth, image = phantom(200, shape=(24, 96, 150))
    image[:, :, 128:] = 0
    truth[12, 48, 100] += 4000
    raw = tmp_path / "raw.ome.zarr"
    counts = np.rint(np.clip(image, 0, None)).astype(np.uint16)
    own_volume(raw, counts, chunk=(16, 32, 32), voxel_size_um=VOXEL)
    record = run_ingest(raw, tmp_path, channels={"gfp": 0})
    restored_store(tmp_path / "restored.ome.zarr", truth)
    noise = measure_noise([image[:, :, :128]])
    checks = [ChannelCheck("gfp", 0, PSF, noise, 105.0)]

    def run(name, memory_gb=1.0):
        summary = check_volume(
            record,
            restored=str(tmp_path / "restored.ome.zarr"),
            store=str(tmp_path / name),
            channels=checks,
            times=None,
            method="m",
            memory_gb=memory_gb,
            seed=1,
        )
        return summary, open_volume(tmp_path / name)

    return run


def test_tiled_is_whole(volume):
    whole, one = volume("one")
    tiled, many = volume("many", memory_gb=0.02)
    assert many.array.shards != one.array.shards
    a, b = one.data[0, 0].compute(), many.data[0, 0].compute()
    assert np.array_equal(np.isnan(a), np.isnan(b))
    assert np.nanmax(np.abs(a - b)) <= 1 / 32
    first, second = whole["checks"][0], tiled["checks"][0]
    assert first["alpha"] == second["alpha"]
    assert [p["voxel"] for p in first["worst"][:3]] == [p["voxel"] for p in second["worst"][:3]]


def contents(folder):
    """All files below a folder, but for the metadata with their seconds and memory."""
    files = (f for f in folder.rglob("*") if f.is_file() and f.parent != folder)
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def test_a_map_that_was_told_to_stop_goes_on(volume, tmp_path, monkeypatch):
    computed, z = [], Checker.z

    def counted(self, *arguments):
        computed.append(len(computed))
        if stop_at == len(computed):
            os.kill(os.getpid(), signal.SIGTERM)
        return z(self, *arguments)

    monkeypatch.setattr(Checker, "z", counted)
    stop_at = None
    whole, _ = volume("whole", memory_gb=0.02)
    all_blocks = len(computed)
    computed.clear()
    stop_at = 3
    with pytest.raises(UserError, match="stopped by SIGTERM"):
        volume("map", memory_gb=0.02)
    assert len(computed) == 3 < all_blocks
    # As if it had been killed after it wrote the last block, in the middle of its note.
    progress = tmp_path / "map" / "0.progress"
    progress.write_text(progress.read_text()[:-9])
    monkeypatch.setattr(Checker, "fit", None)
    stop_at = None
    again, _ = volume("map", memory_gb=0.02)
    assert len(computed) == all_blocks + 1
    assert again["checks"] == whole["checks"]
    assert contents(tmp_path / "map") == contents(tmp_path / "whole")


def test_a_wide_psf_may_use_all_the_memory_of_the_config(volume, monkeypatch):
    whole, _ = volume("whole")
    monkeypatch.setattr(consistency_maps, "MEMORY_GB", 1e-6)
    found, _ = volume("wide")
    assert found["checks"] == whole["checks"]
    with pytest.raises(UserError, match=r"restoration\.memory_gb: 1e-06 is too little"):
        volume("none", memory_gb=1e-6)


def test_the_map_of_a_volume_is_a_volume_with_its_record(volume):
    summary, result = volume("map.ome.zarr")
    Image.from_zarr(zarr.open_group(result.path, mode="r"))
    assert result.voxel_size_um == pytest.approx(VOXEL)
    assert result.channel_names == ("a",)  # as the raw volume calls it
    z = result.data[0, 0].compute()
    (check,) = summary["checks"]
    assert np.isnan(z[:, :, 128:]).all()
    assert check["judged"] == pytest.approx(128 / 150)
    worst = check["worst"][0]
    assert np.abs(np.subtract(worst["voxel"], (12, 48, 100))).max() <= 1 and worst["z"] < -5
    assert worst["um"] == pytest.approx((np.array(worst["voxel"]) + 0.5) * VOXEL)
    judged = z[:, :, :128]
    assert check["flagged"] == pytest.approx((np.abs(judged) >= 5).mean())
    # Coarser levels keep the worst of what they are made of.
    coarse = open_volume(result.path, level=1).data[0, 0].compute()
    assert np.nanmin(coarse) == np.nanmin(z)
    records = volume_records(summary, dataset="d", method="m", volume="v")
    assert [r.metric for r in records] == ["consistency_flagged", "not_verifiable"]
    assert [r.value for r in records] == [check["flagged"], check["not_verifiable"]]
    assert 0 < check["flagged"] < 0.1 and 0 < check["not_verifiable"] < 0.1
    made = (result.path, zarr.open_group(result.path, mode="r").attrs["decon3d"]["key"])
    again, _ = volume("map.ome.zarr")
    assert again == summary, made


def test_additions_are_found_and_what_is_below_the_resolution_is_not_verifiable():
    truth, image = phantom(200)
    judge = checker(measure_noise([image]))
    found = map_sensitivity(image, truth, checker=judge, rng=generator(1, "planted"))
    print(found)
    assert found["added"] > 0.9
    for change in ("lateral", "axial"):
        assert found[change] < DETECTABLE


def test_planted_changes_are_found_beside_places_without_data():
    truth, image = phantom(200)
    judge = checker(measure_noise([image]))
    z, _, x = np.indices(SHAPE)
    slanted = (x < 15 - z // 2) | (x > 95 - z)
    missing = np.where(slanted, np.nan, image)
    holes = truth.astype(np.float32)
    holes[10:14, 40:44, 60:64] = np.nan
    for a, b in ((missing, truth), (image, holes), (missing, holes)):
        found = map_sensitivity(a, b, checker=judge, rng=generator(1, "planted"))
        assert found["added"] > 0.9 and found["lateral"] < DETECTABLE
    places = draw_places(SHAPE, psf=PSF, rng=generator(1, "planted"), known=~slanted)
    assert len(places) > 8 and not slanted[tuple(np.transpose(places))].any()
    nothing = map_sensitivity(
        np.full(SHAPE, np.nan), truth, checker=judge, rng=generator(1, "planted")
    )
    assert np.isnan(list(nothing.values())).all()


def test_a_filament_broken_below_the_resolution_is_not_verifiable():
    """Gaps of two voxels (PSF 3.8 wide) that a restoration invents leave no flag behind."""
    filament = np.full(SHAPE, 105, np.float32)
    filament[16, 48, 10:86] += 300
    rng = np.random.default_rng(5)
    judge = checker(Noise(1.0, -97.75, 1.0, WHITE, 0, "data"))
    pads = [(8, 8), (7, 7), (7, 7)]
    light, _ = judge.blurred(
        np.pad(filament, pads, constant_values=105), np.ones((48, 110, 110), bool)
    )
    image = (100 + rng.poisson(light + 5) + rng.normal(0, 1.5, SHAPE)).astype(np.float32)
    broken = filament.copy()
    for start in range(20, 80, 12):
        gap = broken[16, 48, start : start + 2]
        broken[16, 48, [start - 1, start + 2]] += gap.sum() / 2 - 105
        gap[:] = 105
    z, _ = judge.whole(image, broken)
    assert np.abs(z[14:19, 46:51]).max() < 5


@pytest.mark.parametrize("change", ["lateral", "axial"])
def test_moved_light_stays_the_same_light(change):
    judge = checker(Noise(1, 0, 1, WHITE, 0, "data"))
    pattern, single = pattern_of(change, judge), pattern_of("added", judge)
    assert single.values.sum() == pytest.approx(1)
    assert pattern.values.sum() == pytest.approx(0, abs=1e-5)
    assert np.abs(pattern.values).sum() > 0.5


class Inventive:
    """A restorer that leaves the image as it is, and paints a spot."""

    def __init__(self, light):
        self.light = light

    def restore(self, block, origin, inner):
        restored = block.astype(np.float32)
        restored[16, 48, 48] += self.light
        return restored[inner]


def dark_values(monkeypatch, restorer, noise, **options):
    """What a restorer makes of dark noise, by metric."""
    monkeypatch.setattr(deviance, "open_restorer", lambda state, threads: restorer)
    records = dark_noise.evaluate_dark_noise(
        [State("identity", (0, 0, 0), (1, 1, 1), True, 4.0, {})],
        noise=noise,
        background=105.0,
        psf=PSF,
        dataset="d",
        channel="c",
        method="m",
        seed=1,
        threads=1,
        **options,
    )
    assert len(records) == len({r.metric for r in records})
    return {r.metric: r.value for r in records}


@pytest.mark.parametrize(("light", "objects"), [(0.0, 0), (2000.0, 1)])
def test_dark_noise_tells_what_appears_from_nothing(monkeypatch, light, objects):
    noise = Noise(1.0, -98.0, 1.0, ((0.0, 0.0), (0.0, 0.0), (0.27, 0.0)), 0, "data")
    values = dark_values(monkeypatch, Inventive(light), noise)
    assert values["dark_objects"] == objects
    assert (values["dark_peak"] > 5) == bool(objects)
    # The brightest 0.01 % of Gaussian noise; one spot is no more of them.
    assert values["dark_specks"] == pytest.approx(3.7, abs=0.25)


def test_dark_specks_are_told_one_by_one(monkeypatch):
    """Too small to show in an image, but brighter than the noise itself."""

    class Speckled:
        def restore(self, block, origin, inner):
            speck = np.arange(block.size).reshape(block.shape) % 2000 == 0
            return np.where(speck, 105 + 30, block)[inner]

    noise = Noise(1.0, -96.0, 1.0, ((0.0, 0.0),) * 3, 0, "data")
    values = dark_values(monkeypatch, Speckled(), noise, shape=(16, 64, 64))
    assert values["dark_specks"] == pytest.approx(30 / 3, rel=0.001)
