"""Richardson-Lucy as a process: read TIFFs, iterate, write a TIFF; ours and a public peer.

Each imports what it needs and no more, since the time of the imports counts.
"""

import time
from pathlib import Path

import numpy as np
import tifffile
from run import answer, memory_gb  # finds the library, too

THREADS = 2


def ours(folder: Path, iterations: str) -> dict[str, float]:
    """Restore as the workflow does: weights at the faces, momentum, the light of the image."""
    from decon3d.classical.recipe import Recipe

    image, psf = _given(folder)
    started = time.perf_counter()
    recipe = Recipe(100.0, float(image.mean()) - 100, (0.3, 0.15, 0.15))
    model = recipe.model(image.shape, psf=psf, threads=THREADS)
    ((_, estimate),) = recipe.estimates(image, model=model, iterations=[int(iterations)])
    spent = time.perf_counter() - started
    restored = recipe.restored(image, estimate, model=model, overwrite=True)
    return _written(folder, restored, spent / int(iterations))


def scikit_image(folder: Path, iterations: str) -> dict[str, float]:
    """Restore with scikit-image: zero-padded, with neither weights nor momentum."""
    import scipy.fft
    from skimage.restoration import richardson_lucy

    image, psf = _given(folder)
    counts = image.astype(np.float32)
    started = time.perf_counter()
    with scipy.fft.set_workers(THREADS):
        restored = richardson_lucy(counts, psf, num_iter=int(iterations), clip=False)
    return _written(folder, restored, (time.perf_counter() - started) / int(iterations))


def _given(folder: Path) -> list[np.ndarray]:
    return [tifffile.imread(folder / f"{name}.tif") for name in ("image", "psf")]


def _written(folder: Path, restored: np.ndarray, iteration: float) -> dict[str, float]:
    tifffile.imwrite(folder / "restored.tif", restored, photometric="minisblack")
    return {"iteration": iteration, "MiB": memory_gb() * 1e9 / 2**20}


if __name__ == "__main__":
    answer(globals())
