"""The viewer's volumes: small copies of raw, restored and true volumes, one picture each.

Small volumes and crops at full resolution are stored with 12 bits, without loss; others with 8
bits and compressed.

Counts are stored as the square root of their position between two percentiles. Shot noise is then
uniform, and dark parts of a restored volume with high peaks keep their grey levels.
"""

import base64
import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from decon3d.evaluation.consistency import THRESHOLD
from decon3d.report.colours import INVENTED, MISSED
from decon3d.report.views import Scene, Triple, Values, brightest

MOST_VOXELS = 2_000_000
"""Most voxels of a copy; fewer where the channels share the page's size (`most_voxels`)."""
MOST_OVERLAY_VOXELS = 250_000
EXACT_VOXELS = 1_300_000
"""Most voxels of all channels at full resolution that are stored with 12 bits."""
CODES = 4095
LONGEST = 4096
QUALITY = 85
STORED = (0.05, 99.99)
"""Percentiles of a volume's counts between which they are stored; beyond, they are cut off."""
SHOWN = (1.0, 99.6)
"""Percentiles between black and white at first."""
PICTURED = (1.0, 99.8)
"""Percentiles of a single picture that are black and white."""
SATURATED = 15.0
"""Deviation in σ from which the consistency map is laid over the image fully."""
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Panel:
    """One panel of the viewer: a volume, and its consistency map, if there is one.

    The map is raw less re-blurred, in σ of the noise. Both cover the same space; the map may be on
    a coarser grid. A signed volume is a difference, shown in two colours.
    """

    label: str
    scene: Scene
    consistency: Values | None = None
    signed: bool = False


@dataclass(frozen=True)
class Channel:
    """One channel of a volume: its name, its colour in an overlay (#rrggbb) and its panels.

    The first panel is the raw volume.
    """

    name: str
    colour: str
    panels: Sequence[Panel]


def viewer_scene(
    channels: Sequence[Channel],
    *,
    name: str,
    full_shape: Shape,
    napari: str,
    note: str = "",
    moments: Sequence[str] = (),
) -> dict[str, Any]:
    """Make the data that the page's script shows for one volume, as plain values.

    Parameters
    ----------
    channels
        All panels of all channels cover the same space.
    name
        What to call the volume.
    full_shape
        Voxels (Z, Y, X) at full resolution.
    napari
        The command that opens the volumes in full.
    note
        A further note on it.
    moments
        Of a film, whose planes are time points: what to call each plane.

    Returns
    -------
    dict
        `shape` and `voxel_size_um` (Z, Y, X) of the copies, `start` (index of the plane, row and
        column to begin with), `colours` (of deviations and differences below and above 0) and
        `channels`: `name`, `colour`, `shared` (counts shown as black and white) and `panels`:
        `label`, `image` (WebP, planes in rows of `columns`), `bits` (12: the upper 8 in red, the
        lower 4 in green), `range` (counts stored as 0 and as the largest code), `window` (its own
        black and white), `signed` and `overlay`.
    """
    first = channels[0].panels[0].scene
    most = most_voxels(len(channels))
    shape = small_shape(first.counts.shape, voxel_size_um=first.voxel_size_um, most=most)
    size = first.size_um
    voxel = (size[0] / shape[0], size[1] / shape[1], size[2] / shape[2])
    place = brightest(Scene(resampled(_finite(first.counts), shape), voxel))
    exact = shape == tuple(full_shape) and math.prod(shape) * len(channels) <= EXACT_VOXELS
    with ThreadPoolExecutor() as pool:  # Pillow works outside Python's lock
        stored = [_channel(c, shape, voxel, exact=exact, pool=pool) for c in channels]
    return {
        "name": name,
        "note": note,
        "full_shape": list(full_shape),
        "shape": list(shape),
        "voxel_size_um": [float(f"{v:.6g}") for v in voxel],
        "start": [min(int(p / v), n - 1) for p, v, n in zip(place, voxel, shape, strict=True)],
        "colours": [INVENTED, MISSED],
        "channels": stored,
        "moments": list(moments),
        "napari": napari,
    }


def most_voxels(channels: int) -> int:
    """Return the most voxels of each copy of a volume with a number of channels."""
    return 2 * MOST_VOXELS // (channels + 1)


def _channel(
    channel: Channel, shape: Shape, voxel: Triple, *, exact: bool, pool: ThreadPoolExecutor
) -> dict[str, Any]:
    volumes = [resampled(_finite(p.scene.counts), shape) for p in channel.panels]
    images = [v for p, v in zip(channel.panels, volumes, strict=True) if not p.signed]
    shared = np.percentile(np.stack([v[:, ::2, ::2] for v in images]), SHOWN)

    def store(panel: Panel, volume: NDArray[np.float32]) -> dict[str, Any]:
        overlay = _overlay(panel.consistency, voxel, shape)
        stored = _stored_signed(volume) if panel.signed else _stored(volume, exact=exact)
        return {"label": panel.label, "signed": panel.signed, **stored, "overlay": overlay}

    return {
        "name": channel.name,
        "colour": channel.colour,
        "shared": _window(shared),
        "panels": list(pool.map(store, channel.panels, volumes)),
    }


def small_shape(shape: Sequence[int], *, voxel_size_um: Triple, most: int) -> Shape:
    """Find the shape (Z, Y, X) of a copy of at most `most` voxels, as isotropic as possible.

    The axes with the smallest voxels are reduced first.
    """

    def at(step: float) -> Shape:
        z, y, x = (
            max(1, min(n, LONGEST, int(n * min(1.0, v / step) + 1e-9)))
            for n, v in zip(shape, voxel_size_um, strict=True)
        )
        return (z, y, x)

    low = min(voxel_size_um)
    if math.prod(at(low)) <= most:
        return at(low)
    high = max(n * v for n, v in zip(shape, voxel_size_um, strict=True))
    for _ in range(50):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if math.prod(at(middle)) <= most else (middle, high)
    return at(high)


def resampled(values: Values, shape: Shape) -> Values:
    """Average a volume (Z, Y, X) over the voxels of another grid of the same extent."""
    for axis, count in enumerate(shape):
        if values.shape[axis] != count:
            values = _averaged(values, axis, count)
    return values


def _averaged(values: Values, axis: int, count: int) -> Values:
    """Average along an axis: differences of the running sum between the new voxels' faces."""
    n = values.shape[axis]
    faces = np.linspace(0, n, count + 1)
    whole = np.minimum(faces.astype(int), n - 1)
    line = [1, 1, 1]
    line[axis] = -1
    before = np.cumsum(values, axis=axis, dtype=np.float64) - values
    sums = before.take(whole, axis) + (faces - whole).reshape(line) * values.take(whole, axis)
    return (np.diff(sums, axis=axis) * (count / n)).astype(np.float32)


def _finite(values: Values) -> Values:
    """Replace NaN by the smallest count."""
    finite = np.isfinite(values)
    if finite.all():
        return values
    return np.where(finite, values, values[finite].min() if finite.any() else 0).astype(np.float32)


def _stored(values: Values, *, exact: bool) -> dict[str, Any]:
    low, high, *window = np.percentile(values, [*STORED, *SHOWN])
    high = max(high, low + 1e-6)
    scaled = np.sqrt(np.clip((values - low) / (high - low), 0, 1))
    if exact:
        codes = np.rint(CODES * scaled).astype(np.uint16)
        parts = np.stack([codes >> 4, (codes & 15) << 4, np.zeros_like(codes)], -1)
        picture = _picture(parts.astype(np.uint8), lossless=True)
    else:
        picture = _picture(np.rint(255 * scaled).astype(np.uint8))
    return {
        **picture,
        "bits": 12 if exact else 8,
        "range": _window([low, high]),
        "window": _window(window),
    }


def _stored_signed(values: Values) -> dict[str, Any]:
    """Store differences linearly: 128 is 0, and 1 and 255 are the counts of `range`."""
    limit = max(float(np.percentile(np.abs(values), STORED[1])), 1e-6)
    scaled = np.clip(values / limit, -1, 1)
    window = _window([-limit, limit])
    return {
        **_picture(np.rint(128 + 127 * scaled).astype(np.uint8)),
        "range": window,
        "window": window,
    }


def _window(bounds: Sequence[float] | NDArray[np.floating]) -> list[float]:
    low, high = (float(f"{b:.6g}") for b in bounds)
    return [low, high if high > low else low + 1.0]


def _overlay(values: Values | None, voxel_size_um: Triple, shape: Shape) -> dict[str, Any] | None:
    """Store a signed map as 128 + 127 · σ / `limit`; a copy keeps the largest deviation."""
    if values is None:
        return None
    small = small_shape(shape, voxel_size_um=voxel_size_um, most=MOST_OVERLAY_VOXELS)
    z, y, x = (min(n, m) for n, m in zip(small, values.shape, strict=True))
    worst = _extreme(np.nan_to_num(values), (z, y, x))
    scaled = np.clip(worst / SATURATED, -1, 1)
    return {
        **_picture(np.rint(128 + 127 * scaled).astype(np.uint8)),
        "shape": [z, y, x],
        "from": THRESHOLD,
        "limit": SATURATED,
    }


def _extreme(values: Values, shape: Shape) -> Values:
    """Take the value that is farthest from 0 among the voxels that fall into a coarser one."""
    low = high = values
    for axis, count in enumerate(shape):
        starts = np.arange(count) * values.shape[axis] // count
        low = np.minimum.reduceat(low, starts, axis=axis)
        high = np.maximum.reduceat(high, starts, axis=axis)
    return np.where(-low > high, low, high)


def _picture(volume: NDArray[np.uint8], *, lossless: bool = False) -> dict[str, Any]:
    """Arrange the planes (Z, Y, X, or with colours) in rows, as one nearly square picture."""
    depth, height, width, *colours = volume.shape
    columns = max(1, min(depth, round(math.sqrt(depth * height / width))))
    rows = math.ceil(depth / columns)
    padded = np.zeros((rows * columns, height, width, *colours), np.uint8)
    padded[:depth] = volume
    tiles = padded.reshape(rows, columns, height, width, *colours).swapaxes(1, 2)
    sheet = Image.fromarray(tiles.reshape(rows * height, columns * width, *colours))
    return {"image": data_uri(sheet, quality=QUALITY, lossless=lossless), "columns": columns}


def grey_picture(values: NDArray[Any]) -> tuple[Image.Image, tuple[float, float]]:
    """Draw a picture (Y, X) in grey, and return it with the counts that are black and white.

    These are the 1 and 99.8 percentiles of the picture. NaN counts as 0.
    """
    counts = np.nan_to_num(values.astype(np.float32))
    low, high = map(float, np.percentile(counts, PICTURED))
    grey = np.clip((counts - low) / max(high - low, 1e-6), 0, 1)
    return Image.fromarray(np.rint(255 * grey).astype(np.uint8)), (low, high)


def data_uri(image: Image.Image, *, quality: int, lossless: bool = False) -> str:
    """Write a picture as WebP into a data URI."""
    stream = io.BytesIO()
    if lossless:
        image.save(stream, "WEBP", lossless=True, quality=30, method=2)
    else:
        image.save(stream, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
