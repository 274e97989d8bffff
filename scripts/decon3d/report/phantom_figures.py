"""The figures of phantoms and measured pairs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from decon3d import paths
from decon3d.phantoms.contact_sheet import contact_sheet
from decon3d.report import plots
from decon3d.report.entries import Drawn, Entry, Job, exists, of_channel, projection_caption
from decon3d.report.labels import TRUTH, method_label, seen_recipes
from decon3d.report.templating import quantity
from decon3d.report.views import Scene, Triple
from decon3d.volumes.checked_stores import open_group

PAIRS_SHOWN = 3


def split_sheet(job: Job, channel: str, split: str) -> Drawn:
    """Draw volumes of every recipe of a split."""
    store = job.root / paths.phantoms(job.name, channel, split)
    about: Any = open_group(store).attrs
    measured = "measured" in about
    used = {"train": "networks are trained on", "test": "methods are compared on"}[split]
    every = "" if measured else ", at least one per recipe"
    if "microscopes" in about:
        planes, rows, columns = about["shape"]
        size = f"{planes} × {rows} × {columns} voxels (Z, Y, X), each of its own microscope"
    else:
        depth, height, width = np.multiply(about["shape"], about["voxel_size_um"])
        size = f"{quantity(depth)} × {quantity(height)} × {quantity(width)} µm (Z, Y, X)"
    caption = (
        f"Volumes that {used} ({about['volumes']} in all), {size}{every}. "
        f"{'Truths' if measured else 'Objects'} above, images below, projected along Z and Y, each "
        "on its own grey scale."
    )
    section, what = ("pairs", "Measured pairs") if measured else ("phantoms", "Phantoms")
    if split == "train":
        section = "training"
    title = f"{what} for {split}ing{of_channel(job, channel)}"
    entry = Entry(f"sheet_{channel}_{split}", section, title, caption, folded=True)
    return [(entry, contact_sheet(store))]


def restored_recipes(job: Job, channel: str) -> Drawn:
    """Draw the phantom with the median dose of each recipe, or the first measured pairs."""
    store = job.root / paths.phantoms(job.name, channel, "test")
    test: Any = open_group(store)
    voxel: Triple = tuple(test.attrs["voxel_size_um"])
    measured = "measured" in test.attrs
    recipes: list[str] = test.attrs["names"][:PAIRS_SHOWN] if measured else test.attrs["recipes"]
    restored: dict[str, Any] = {}
    for method in job.settings.methods:
        path = job.root / paths.restored_phantoms(job.name, channel, method)
        if exists(path):
            group: Any = open_group(path)
            restored[method_label(method)] = group["restored"]
    drawn: Drawn = []
    for recipe in dict.fromkeys(recipes):
        i = recipes.index(recipe) if measured else typical(recipe, recipes, test.attrs["photons"])
        arrays = {"image": test["image"], **restored, TRUTH: test["object"]}
        panels = [(k, Scene(np.asarray(a[i], np.float32), voxel)) for k, a in arrays.items()]
        figure, shown = plots.projections(panels)
        if measured:
            section, what = "pairs", "Pair"
            caption = f"Test pair {recipe}, of a specimen that was not used in training. "
        else:
            section, what = "phantoms", "Phantom"
            known = "seen" if recipe in seen_recipes(job.settings) else "not seen"
            caption = (
                f"Test phantom {i}, recipe {recipe} ({known} in training), "
                f"{quantity(test.attrs['photons'][i])} photons in the brightest voxels. "
            )
        entry = Entry(
            f"{what.lower()}_{channel}_{recipe}",
            section,
            f"{what} {recipe}{of_channel(job, channel)}",
            caption + projection_caption(shown),
        )
        drawn.append((entry, figure))
    return drawn


def typical(recipe: str, recipes: Sequence[str], photons: Sequence[float]) -> int:
    """Return the number of the phantom that has the (upper) median dose of its recipe."""
    of_recipe = [i for i, name in enumerate(recipes) if name == recipe]
    return sorted(of_recipe, key=lambda i: float(photons[i]))[len(of_recipe) // 2]
