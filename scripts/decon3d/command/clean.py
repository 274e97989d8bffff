"""List and remove files that the workflow wrote and can make again."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from decon3d.errors import UserError
from decon3d.paths import INSTRUMENTS, LOCKS

INTERMEDIATE = {
    "ingest": "volumes converted to OME-Zarr; a run converts them again",
    "after": "restored volumes and pairs as inputs of a second method",
    "simulated": "volumes that the workflow simulated",
    "training": "phantoms or measured pairs; networks are trained again",
    "restored_phantoms": "test phantoms, restored",
    "consistency": "consistency maps",
}
"""Folders of a dataset that hold no final result, and what they are."""
FINAL = {
    "psf": "point spread functions",
    "models": "trained networks: hours of training",
    "tuning": "tuned parameters",
    "prepared": "prepared methods",
    "plans": "plans of restorations",
    "parts": "progress of restorations",
    "restored": "restored volumes",
    "finished": "markers of finished restorations",
    "camera": "maps of the camera's pixels",
    "statistics": "statistics of channels",
    "noise": "measured noise",
    "psf_fit": "comparison of PSF and data",
    "likeness": "comparison of phantoms and data",
    "evaluation": "metrics",
    "tables": "tables",
    "figures": "figures",
    "volumes": "pages of volumes",
}
"""Folders of a dataset that hold results, and what they are."""
PAGES = ("report.html", "report.json", "preview.html", "preview.json")


@dataclass(frozen=True)
class Removable:
    """A file or folder that the workflow can make again."""

    path: Path
    about: str
    size: int
    """Bytes."""


def removable(folder: str | Path = ".", *, everything: bool = False) -> list[Removable]:
    """List files and folders below a working directory that the workflow can make again.

    Parameters
    ----------
    folder
        The working directory, with `results`.
    everything
        Whether final results count, too: models, restored volumes, tables, pages. Otherwise only
        intermediate files.

    Returns
    -------
    list of Removable
        Sorted by dataset. Files that the workflow does not write are not listed.
    """
    found = []
    for path, about in _places(Path(folder), everything):
        if os.path.lexists(path):
            found.append(Removable(path, about, size_of(path)))
    return found


def _places(folder: Path, everything: bool) -> Iterator[tuple[Path, str]]:
    results = folder / "results"
    if not results.is_dir():
        raise UserError(f"{results} is not a folder; change to the folder where the workflow ran")
    known = INTERMEDIATE | (FINAL if everything else {})
    for dataset in sorted(p for p in results.iterdir() if p.is_dir() and not p.is_symlink()):
        if dataset.name == INSTRUMENTS:
            if everything:
                yield dataset, "pages of microscopes"
            continue
        for name, about in known.items():
            yield dataset / name, about
        if everything:
            for page in PAGES:
                yield dataset / page, "page"
    if everything:
        yield results / "index.html", "page"
        for name in ("logs", "benchmarks"):
            yield folder / name, name


def size_of(path: Path) -> int:
    """Add up the bytes of a file, or of all files in a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(
        os.lstat(os.path.join(parent, name)).st_size
        for parent, _, names in os.walk(path)
        for name in names
    )


def remove(places: list[Removable], folder: str | Path = ".") -> None:
    """Remove what `removable` listed; of a link, only the link.

    Parameters
    ----------
    places
        From `removable`.
    folder
        The working directory.

    Raises
    ------
    UserError
        If Snakemake runs in the working directory.
    """
    if any(Path(folder, LOCKS).glob("*")):
        raise UserError(
            f"Snakemake runs in {Path(folder).resolve()}, or was killed there; wait until it ends, "
            "or release its lock with `decon3d run config.yaml --unlock`"
        )
    for place in places:
        if place.path.is_symlink() or not place.path.is_dir():
            place.path.unlink(missing_ok=True)
        else:
            shutil.rmtree(place.path)
