"""Find missing and damaged files in a results tree.

No heavy imports: the workflow compares sizes each time it starts.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from decon3d.errors import DamagedError, UserError, reason
from decon3d.files import DIGESTS, check_digests, check_rows, read_json
from decon3d.volumes.manifest import GROUP, MANIFEST, damages


@dataclass(frozen=True)
class Finished:
    """A store that should exist, and the files that stand for it in the workflow.

    Attributes
    ----------
    store
        Its folder.
    markers
        If these are missing, the workflow makes the store again.
    """

    store: Path
    markers: tuple[Path, ...]


def finished_stores(dataset: str | Path) -> Iterator[Finished]:
    """List the finished stores of a dataset, by its records.

    Parameters
    ----------
    dataset
        Its folder in `results`.
    """
    dataset = Path(dataset)
    for record in sorted(dataset.glob("ingest/*.json")):
        store = record.with_name(f"{record.stem}.ome.zarr")
        # A store that is read in place is elsewhere, and may have the same name.
        path = Path("/", str(_read(record).get("path", "")))
        if (store / MANIFEST).is_file() or store.absolute().parts[
            -len(path.parts) + 1 :
        ] == path.parts[1:]:
            yield Finished(store, (record,))
    for record in sorted(dataset.glob("finished/*.json")):
        for volume in _read(record):
            yield Finished(dataset / "restored" / volume / f"{record.stem}.ome.zarr", (record,))
    for record in sorted(dataset.glob("consistency/*.json")):
        markers = (record, dataset / "evaluation" / record.stem / "consistency.json")
        for volume in _read(record):
            yield Finished(dataset / "consistency" / volume / f"{record.stem}.ome.zarr", markers)
    for pattern in ("training/*/*.zarr", "after/*/training/*/*.zarr", "restored_phantoms/*/*.zarr"):
        for marker in sorted(dataset.glob(f"{pattern}/{GROUP}")):
            yield Finished(marker.parent, (marker,))


def _read(record: Path) -> dict[str, object]:
    """Read a record; empty if it is damaged, which its reader reports."""
    try:
        found = read_json(record)
    except (UserError, OSError):
        return {}
    return {k: v for k, v in found.items() if k != "written"} if isinstance(found, dict) else {}


def missing_files(dataset: str | Path) -> Iterator[tuple[Finished, list[DamagedError]]]:
    """List the finished stores of a dataset with files that are missing or have another size."""
    for finished in finished_stores(dataset):
        if found := damages(finished.store, look="sizes"):
            yield finished, found


def verify(results: str | Path) -> Iterator[DamagedError]:
    """Read everything in a results tree that can be checked, and yield the problems.

    Stores are compared with their manifests, byte by byte; records and tables with their digests;
    other JSON and the archives (`.npz`, `.keras`) are read.

    Parameters
    ----------
    results
        The folder `results`, or one dataset's in it.
    """
    results = Path(results)
    seen = set()
    for folder in [results, *(path for path in sorted(results.iterdir()) if path.is_dir())]:
        for finished in finished_stores(folder):
            seen.add(finished.store)
            yield from damages(finished.store)
    for path in _files(results):
        if path.name == MANIFEST:
            if path.parent not in seen:
                yield from damages(path.parent)
        else:
            try:
                _check(path)
            except DamagedError as error:
                yield error


def _files(folder: Path) -> Iterator[Path]:
    """Walk through a tree; of a store, yield only its manifest."""
    entries = sorted(folder.iterdir())
    if folder.name.endswith(".zarr"):
        entries = [path for path in entries if path.name == MANIFEST]
    for path in entries:
        if path.is_dir():
            yield from _files(path)
        elif not path.name.startswith("."):
            yield path


def _check(path: Path) -> None:
    if path.suffix == ".json":
        content = read_json(path)
        if path.name == DIGESTS:
            check_digests(path)
        elif isinstance(content, list) and path.parent.parent.name == "evaluation":
            check_rows(path, content)
    elif path.suffix in (".npz", ".keras"):
        try:
            with zipfile.ZipFile(path) as archive:
                member = archive.testzip()
        except Exception as error:  # zipfile's, zlib's, struct's
            raise DamagedError(path, f"cannot be read: {reason(error)}") from None
        if member is not None:
            raise DamagedError(path, f"does not match the checksum of {member}")
