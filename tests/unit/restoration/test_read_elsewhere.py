"""A restored volume opens in a reader that shares no code with our writer, at every level.

ngff-zarr reads the metadata by itself and the chunks through zarrista, which is written in Rust.
"""

import ngff_zarr
import numpy as np
import pytest
import tifffile

from support.volumes import VOXEL

COUNTS = np.random.default_rng(3).integers(90, 4000, (3, 3, 5, 300, 270)).astype(np.uint16)


def reduced(values):
    """Halve along Y and X, as a mean that is rounded."""
    t, c, z, y, x = (n // d for n, d in zip(values.shape, (1, 1, 1, 2, 2), strict=True))
    whole = values[..., : 2 * y, : 2 * x].reshape(t, c, z, y, 2, x, 2)
    return np.rint(whole.mean((4, 6))).astype(values.dtype)


def test_every_level_opens_in_an_independent_reader(machine):
    sizes = {f"PhysicalSize{a}": v for a, v in zip("ZYX", VOXEL, strict=True)}
    colors = [
        int.from_bytes(bytes.fromhex(c + "FF"), "big", signed=True)
        for c in ("0000FF", "00FF80", "FF0000")
    ]
    channel = {"Name": ["DAPI", "GFP narrow", "RFP"], "Color": colors}
    meta = {"axes": "TCZYX", "Channel": channel, "TimeIncrement": 1.5, "TimeIncrementUnit": "min"}
    tifffile.imwrite(machine.folder / "v.tif", COUNTS, metadata={**meta, **sizes}, ome=True)
    plan = machine.plan(times=[0, 2], output_dtype="input", memory_gb=5e-4)
    assert plan.bounds[-1] > 4  # several shards of several chunks
    machine.part(0)
    machine.finish()

    found = ngff_zarr.from_ngff_zarr(machine.folder / "v.out", validate=True, version="0.5")
    expected = COUNTS[[0, 2]][:, [2, 1]]
    assert len(found.images) == 3
    for level, image in enumerate(found.images):
        factor = 2**level
        assert (image.dims, image.data.dtype) == (("t", "c", "z", "y", "x"), np.uint16)
        assert np.array_equal(np.asarray(image.data), expected)
        z, y, x = VOXEL
        scale = {"t": 180.0, "c": 1.0, "z": z, "y": y * factor, "x": x * factor}
        assert image.scale == pytest.approx(scale)
        shift = {"t": 0, "c": 0, "z": 0, "y": y * (factor - 1) / 2, "x": x * (factor - 1) / 2}
        assert image.translation == pytest.approx(shift)
        units = {"t": "second", "c": None, **dict.fromkeys("zyx", "micrometer")}
        assert image.axes_units == units
        expected = reduced(expected)
    channels = found.metadata.omero.channels
    assert [(c.label, c.color) for c in channels] == [("RFP", "FF0000"), ("GFP narrow", "00FF80")]
