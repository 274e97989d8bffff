"""Stacks of beads that shine in two channels, of which one is shifted."""

import numpy as np
import tifffile
from scipy import ndimage


def write_beads(path, bead, *, shift, shape=(41, 120, 150), rows=3, columns=4):
    """Write beads in two channels as ImageJ TIFF, the first bead in the second channel only.

    Parameters
    ----------
    bead
        Image of a bead, axes Z Y X, odd sizes.
    shift
        Of the second channel, in voxels (Z, Y, X).
    """
    rng = np.random.default_rng(1)
    image = np.zeros((2, *shape))
    for number, (row, column) in enumerate(np.ndindex(rows, columns)):
        place = np.array([shape[0] // 2, 20 + 38 * row, 20 + 36 * column]) + rng.uniform(-1, 1, 3)
        height = rng.uniform(2000, 4000)
        for c in range(2) if number else [1]:
            centre = place + np.multiply(shift, c)
            whole = np.round(centre).astype(int)
            moved = ndimage.shift(bead / bead.max(), centre - whole, order=5)
            start = whole - np.array(bead.shape) // 2
            inside = [
                slice(max(a, 0), min(a + n, m))
                for a, n, m in zip(start, bead.shape, shape, strict=True)
            ]
            part = tuple(slice(i.start - a, i.stop - a) for i, a in zip(inside, start, strict=True))
            image[(c, *inside)] += height * np.clip(moved, 0, None)[part]
    counts = (rng.poisson(np.clip(image, 0, None) + 5) + 100).astype(np.uint16)
    tifffile.imwrite(path, counts.swapaxes(0, 1), imagej=True, metadata={"axes": "ZCYX"})
