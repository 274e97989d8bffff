"""What the data say of a camera, against cameras that are known.

Gains of 0.3 to 10 counts per photon, offsets of 0 to 700 counts, read noise of 0.5 to 5 photons;
objects of all recipes of phantoms and smooth ones. For each kind of camera: errors of the gain and
of the level without noise, how often the 95 % intervals hold them, and the total light that
Richardson-Lucy restores, with nothing of the camera given and with the offset alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from decon3d import settings
from decon3d.classical.channel import base_recipe
from decon3d.classical.kinds.rl import Rl
from decon3d.phantoms.recipes import RECIPES
from decon3d.volumes.camera import CameraRecord, resolve_camera
from decon3d.volumes.photon_transfer import measure_camera
from decon3d.volumes.statistics import ChannelStatistics
from support.simulated_cameras import Device, expected_photons, long_psf

KINDS = ("smooth", *RECIPES)
CAMERAS = ("float", "16 bits", "8 bits", "saturated", "correlated")
SHAPE = (24, 64, 64)
BLOCKS = 3
ITERATIONS = 15
LIGHT_NOISE = 0.005
"""Largest noise of the total light, relative to it, of the volumes whose light is judged."""


@dataclass(frozen=True)
class Outcome:
    """Of one simulated volume."""

    known: bool
    gain: float
    """Relative error."""
    dark: float
    """Error of the level without noise, in photons."""
    gain_held: bool
    dark_held: bool
    light: dict[str, float]
    """Restored light over the true one, by what the config gives; empty = too dim to tell."""


def draw_device(kind: str, rng: np.random.Generator, photons: float) -> Device:
    """Draw a camera; its converter holds the dose, but of `saturated` the brightest."""
    gain = float(np.exp(rng.uniform(np.log(0.3), np.log(10))))
    offset, read_noise = float(rng.uniform(0, 700)), float(rng.uniform(0.5, 5))
    if kind == "16 bits":  # an offset that keeps the noise above 0, as cameras have
        return Device(gain, max(offset, 5 * gain * read_noise), read_noise, 16)
    if kind == "8 bits":
        gain = float(rng.uniform(0.5, 1) * 200 / (photons + 30))
        read_noise = max(read_noise, 0.5 / gain)
        return Device(gain, min(5 * gain * read_noise, 40.0), read_noise, 8)
    if kind == "saturated":
        bits = int(np.ceil(np.log2(offset + gain * photons)))
        gain = (2**bits - 1 - offset) / (0.8 * photons)
        return Device(gain, offset, read_noise, bits)
    return Device(gain, offset, read_noise, None, 0.3 if kind == "correlated" else 0.0)


def measure(camera: str, structure: str, rng: np.random.Generator) -> Outcome:
    """Simulate one volume, measure its camera and restore it."""
    photons = float(np.exp(rng.uniform(np.log(20), np.log(2000))))
    background = float(rng.uniform(0, 20))
    psf = long_psf(float(rng.uniform(1, 2)))
    device = draw_device(camera, rng, photons)
    common = {"psf": psf, "photons": photons, "background": background, "rng": rng}
    scenes = [
        expected_photons(structure, shape=SHAPE, inside=not i, **common) for i in range(BLOCKS)
    ]
    blocks = [device.expose(scene, rng) for scene in scenes]
    full = None if device.bits is None else 2.0**device.bits - 1
    found = measure_camera(blocks, saturation=full)
    light = scenes[0].sum(dtype=np.float64) - background * scenes[0].size
    noise = np.sqrt((background + device.read_noise**2 + 1) * scenes[0].size)
    ratios = {}
    if noise < LIGHT_NOISE * light and camera != "saturated":
        for name, configured in (
            ("null", settings.CameraSection()),
            ("offset", settings.CameraSection(offset=device.offset)),
        ):
            level = device.offset + device.gain * background
            restored = restore(blocks[0], psf, configured, found)
            ratios[name] = float((restored - level).sum(dtype=np.float64) / light / device.gain)
    if found.gain is None:
        return Outcome(False, np.nan, np.nan, False, False, ratios)
    gain, dark = found.gain, found.dark_level
    return Outcome(
        True,
        gain / device.slope - 1,
        (dark - device.dark_level) / device.gain,
        _within(device.slope, found.gain_interval),
        _within(device.dark_level, found.dark_level_interval),
        ratios,
    )


def restore(image, psf, configured, found: CameraRecord):
    """Restore an image by Richardson-Lucy with the resolved camera."""
    statistics = ChannelStatistics.of_image(image, camera_offset=configured.offset)
    camera = resolve_camera(configured, found)
    recipe = base_recipe(Rl(kind="rl"), statistics=statistics, psf=psf, camera=camera)
    model = recipe.model(image.shape, psf=psf.data, threads=1)
    for k, estimate in recipe.iterate(image, model=model):
        if k == ITERATIONS:
            return recipe.restored(image, estimate, model=model)
    raise AssertionError


def _within(value: float, interval: tuple[float, float] | None) -> bool:
    return interval is not None and interval[0] <= value <= interval[1]


def outcomes(camera: str, *, repeats: int) -> list[Outcome]:
    """Measure every kind of object so many times."""
    return [
        measure(camera, kind, np.random.default_rng([17, CAMERAS.index(camera), i, j]))
        for i, kind in enumerate(KINDS)
        for j in range(repeats)
    ]


def line(camera: str, found: list[Outcome]) -> str:
    """Make a line of the table."""
    known = [o for o in found if o.known]
    gains, darks = (np.abs([getattr(o, key) for o in known]) for key in ("gain", "dark"))
    cells = [camera, f"{len(known)} / {len(found)}"]
    for values in (gains, darks):
        cells.append(f"{np.median(values):.2g} / {np.quantile(values, 0.9):.2g}")
    cells += [f"{np.mean([getattr(o, k) for o in known]):.0%}" for k in ("gain_held", "dark_held")]
    for name in ("null", "offset"):
        off = [abs(o.light[name] - 1) for o in found if o.light]
        cells.append(
            f"{max(off):.1%} of {len(off)} ({np.mean(np.array(off) <= 0.03):.0%})" if off else "–"
        )
    return "| " + " | ".join(cells) + " |"


def main(quick: bool = False) -> str:
    """Return the table."""
    return "\n".join(_lines(1 if quick else 3))


def _lines(repeats: int) -> Iterator[str]:
    heads = (
        "camera",
        "gain told",
        "gain: error, median / 90 %",
        "level: error in photons",
        "interval holds gain",
        "level",
        "light, all null: most off (within 3 %)",
        "offset alone",
    )
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    for camera in CAMERAS:
        yield line(camera, outcomes(camera, repeats=repeats))
