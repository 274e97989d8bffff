"""Make the workflow repair finished stores with missing files."""

import contextlib
import os
import shutil
from pathlib import Path

from decon3d.errors import UserError
from decon3d.volumes.manifest import GROUP, begin_store
from decon3d.volumes.verify import Finished, missing_files


def remake_missing(dataset: str, *, dry_run: bool) -> list[str]:
    """Remove the markers of a dataset's finished stores that are no longer whole.

    The workflow then makes them again; of a restored volume, only the missing blocks.

    Parameters
    ----------
    dataset
        Its name; its results are in `results/<dataset>`.
    dry_run
        Whether to leave all files as they are.

    Returns
    -------
    list of str
        A line for each store with its problem and the remedy.
    """
    told = []
    for finished, damages in missing_files(Path("results", dataset)):
        more = f", and {len(damages) - 1} more" if len(damages) > 1 else ""
        told.append(f"{damages[0]}{more}; a run without a target makes it again")
        if not dry_run:
            _forget(finished, [error.path for error in damages])
    return told


def _forget(finished: Finished, files: list[Path]) -> None:
    store, markers = finished.store, finished.markers
    if markers[0].parent.name == "finished":
        _forget_blocks(store, files)
    for path in files:
        path.unlink(missing_ok=True)
    begin_store(store)
    for marker in markers:
        marker.unlink(missing_ok=True)


def _forget_blocks(store: Path, files: list[Path]) -> None:
    """Remove the markers of the parts that made the damaged blocks of a restored volume."""
    dataset, method = store.parents[2], store.name.removesuffix(".ome.zarr")
    plan_file = dataset / "plans" / f"{method}.json"
    parts = dataset / "parts" / method
    if store / "0" / GROUP in files or not (store / "0" / GROUP).is_file():
        shutil.rmtree(store, ignore_errors=True)
        for path in (plan_file, *parts.glob("*.json")):  # the plan makes the empty level 0
            path.unlink(missing_ok=True)
        return
    blocks = {path for path in files if path.relative_to(store).parts[0] == "0"}
    if not blocks:
        return
    from decon3d.restoration.plan import load_plan  # only here, since it takes a second

    numbers: list[int] = []
    with contextlib.suppress(UserError, KeyError, TypeError):  # the plan's next reader reports it
        plan = load_plan(plan_file)
        wanted = {os.path.abspath(path) for path in blocks}
        items = map(plan.work.item, range(len(plan.work)))
        numbers = [i.number for i in items if os.path.abspath(plan.work.shard(i)) in wanted]
    made_by = {parts / f"{plan.part_of(number)}.json" for number in numbers}
    for marker in made_by or parts.glob("*.json"):
        marker.unlink(missing_ok=True)
