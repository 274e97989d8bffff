"""However a volume is cut, and by whatever engine, the restored volume is the same.

A network that does nothing changes nothing.
"""

from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tifffile
import zarr
from scipy.ndimage import gaussian_filter

from decon3d.classical.registry import CLASSICAL
from decon3d.networks.description import Estimate
from decon3d.networks.engines import Engine
from decon3d.networks.kinds import rl_residual
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.finish import finish, seam_index, step_ratios
from decon3d.restoration.part import restore_part
from decon3d.restoration.plan import make_plan
from decon3d.restoration.prepare import prepare_network
from decon3d.restoration.restorers import open_restorer
from decon3d.settings import Restoration
from decon3d.volumes.ingest import ingest
from decon3d.volumes.reader import open_volume
from decon3d.volumes.statistics import ChannelStatistics, channel_statistics
from support.deconvolution import PSF, boxes
from support.deconvolution import prepared as classical
from support.small_networks import BUILD, identity, small, write

SHAPE = (10, 33, 40)
TILINGS = [(12, 24, 40), (8, 40, 40), (12, 40, 24)]
ENGINES = [Engine(name) for name in ("tensorflow", "openvino") if find_spec(name)]
RNG = np.random.default_rng(5)


def image():
    """Blurred noise on a pedestal, in counts."""
    return (100 + 4000 * gaussian_filter(RNG.uniform(size=SHAPE), 1.5)).astype(np.float32)


def prepared(folder, values, **options):
    return prepare_network(
        folder, statistics=ChannelStatistics.of_image(values), psf=PSF, sample=[values], **options
    )


def seams(values, block):
    """Index over all axes."""
    found = seam_index(values[None, None], SimpleNamespace(shape=SHAPE, block=block))
    return np.array(list(found.values()))


def largest_difference(restored, expected):
    """Relative to the maximum above the camera's level."""
    return np.abs(restored - expected).max() / np.abs(expected - 100).max()


@pytest.mark.parametrize("kind", BUILD)
def test_three_tilings_and_the_whole_agree_on_every_engine(kind, tmp_path):
    """On OpenVINO the network is folded, and blocks begin at any voxel of a fold."""
    write(tmp_path, small(kind), kind)
    values = image()
    state = prepared(tmp_path, values)
    whole = restore_array(values, open_restorer(state, threads=1), state)
    for engine in ENGINES:
        restorer = open_restorer(state, threads=1, engine=engine)
        for block in (None, *TILINGS):
            tiled = restore_array(values, restorer, state, block=block)
            assert largest_difference(tiled, whole) <= 1e-5, (engine, block)
            if block:
                assert np.abs(seams(tiled, block) - seams(whole, block)).max() <= 0.01


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_a_network_that_sees_estimates_restores_the_same_in_blocks(engine, tmp_path):
    """With a halo that holds all that Richardson-Lucy sees."""
    keras.utils.set_random_seed(1)
    model = rl_residual.build(inputs=3, channels=4)
    last = model.get_layer("residual")  # starts at zero
    last.set_weights([np.random.default_rng(0).normal(0, 0.5, last.kernel.shape)])
    write(tmp_path, model, "rl_residual", input_channels=3, estimates=(Estimate((0.05, 0.1), 0.0),))
    values = np.pad(image(), ((0, 0), (0, 0), (0, 80)), mode="symmetric")
    state = prepared(tmp_path, values)
    whole = restore_array(values, open_restorer(state, threads=1), state)
    state = replace(state, halo=(40, 40, 40))
    for block in ((10, 34, 60), (10, 34, 44)):
        restorer = open_restorer(state, threads=1, engine=engine)
        tiled = restore_array(values, restorer, state, block=block)
        assert largest_difference(tiled, whole) <= 1e-5, block


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("rl", {}),
        ("rl", {"acceleration": "coarse_to_fine"}),
        ("rl", {"back_projector": "wiener_butterworth", "acceleration": "none"}),
        ("rltv", {"tv_weight": 0.002}),
        ("rl_roughness", {"roughness_weight": 0.01}),
        ("landweber", {}),
    ],
)
def test_classical_methods_restore_the_same_in_blocks(kind, options):
    """With a halo that holds all they see; their own leaves 3e-4 of the maximum at seams."""
    values, _, _ = boxes((14, 24, 120))
    state = classical(CLASSICAL[kind].settings(kind=kind, iterations=3, **options), values)
    restorer = open_restorer(state, threads=1, engine=None)
    whole = restore_array(values, restorer, state)
    for halo, limit in ((state.halo, 5e-4), ((36, 36, 36), 1e-5)):
        wide = replace(state, halo=halo)
        for block in ((14, 24, 60), (8, 12, 50)):
            tiled = restore_array(values, restorer, wide, block=block)
            assert largest_difference(tiled, whole) <= limit, (halo, block)


def test_the_published_attention_leaves_what_the_calibrated_one_does_not(tmp_path):
    write(tmp_path, small("rcan"), "rcan")
    values = np.linspace(1, 8, SHAPE[2]) * image()  # blocks with different means
    worst, seam = {}, {}
    for attention in ("calibrated", "per_block"):
        state = prepared(tmp_path, values, attention=attention)
        restorer = open_restorer(state, threads=1)
        whole, tiled = (
            restore_array(values, restorer, state, block=block) for block in (None, TILINGS[2])
        )
        worst[attention] = np.abs(tiled - whole).max() / whole.max()
        volume = SimpleNamespace(shape=SHAPE, block=TILINGS[2])
        (after,), (before,) = (step_ratios(v[None, None], volume).values() for v in (tiled, whole))
        seam[attention] = abs(after[0] - before[0])
    print(f"ratio of steps, change by tiling: {seam}; largest difference: {worst}")
    assert seam["per_block"] > 10 * seam["calibrated"]
    assert worst["per_block"] > 30 * worst["calibrated"]


def through_everything(folder, values, **options):
    """Ingest, prepare, plan, restore and finish with a network that does nothing."""
    tifffile.imwrite(
        folder / "v.tif", values, photometric="minisblack", metadata={"axes": "TZYX"}, ome=True
    )
    write(folder / "bundle", identity(), "rln")
    record = ingest(
        str(folder / "v.tif"),
        record_path=folder / "v.json",
        name="v",
        channels={"a": 0},
        voxel_size_um=(0.2, 0.1, 0.1),
        times=None,
        key="d",
    )
    statistics = channel_statistics([record], channel=0, camera_offset=None, fixed=None, key="d")
    state = prepare_network(folder / "bundle", statistics=statistics, psf=PSF)
    plan = make_plan(
        method="m",
        states={"a": state},
        records=[record],
        stores=[str(folder / "v.out")],
        channels={"a": 0},
        times=None,
        path=folder / "plan.json",
        restoration=Restoration(
            output_dtype="input", memory_gb=3e-4, engine="tensorflow", **options
        ),
    )
    assert plan.bounds[-1] >= 8
    restore_part(
        folder / "plan.json", [state], part=0, marker=folder / "parts" / "0.json", threads=1
    )
    finish(folder / "plan.json", [record], progress=folder / "parts", provenance={})
    return open_volume(folder / "v.out")


def test_an_identity_gives_every_count_back(tmp_path):
    values = RNG.integers(0, 65536, (2, 9, 31, 30)).astype(np.uint16)
    result = through_everything(tmp_path, values)
    assert result.dtype == np.uint16
    assert np.array_equal(result.data[:, 0].compute(), values)


def test_an_identity_gives_float_back_to_rounding(tmp_path):
    values = RNG.gamma(1, 3000, (1, 9, 31, 30)).astype(np.float32)
    result = through_everything(tmp_path, values)
    error = np.abs(result.data[:, 0].compute() - values).max()
    assert error <= 2e-7 * values.max()
    assert result.voxel_size_um == pytest.approx((0.2, 0.1, 0.1))
    assert zarr.open_array(str(tmp_path / "v.out" / "0")).dtype == np.float32
