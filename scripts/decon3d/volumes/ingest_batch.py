"""Ingest many small volumes in one process.

The records are moved to their places when all volumes are ingested. Until then, they are kept as
`<volume>.<key>.progress`, which survive a kill and a damaged file among them.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from decon3d.errors import DamagedError, UserError
from decon3d.files import digest, file_digest, read_record, write_record
from decon3d.logs import log, progress
from decon3d.versions import VERSIONS
from decon3d.volumes.fingerprints import fresh_fingerprint
from decon3d.volumes.ingest import ingest
from decon3d.volumes.no_data import NoData
from decon3d.volumes.volume import Reading


def ingest_batch(
    sources: Mapping[str, str],
    *,
    records: Mapping[str, str | Path],
    no_data: Mapping[str, NoData | dict[int, NoData]],
    reading: Reading,
    camera_maps: str | Path | None = None,
    **options: Any,
) -> None:
    """Ingest volumes one after the other; those that an unfinished batch has ingested only once.

    Parameters
    ----------
    sources
        Path of each volume, by its name.
    records
        Where its record goes.
    no_data
        How its voxels without data are known.
    reading, camera_maps, options
        As for `ingest`, the same for all volumes.

    Raises
    ------
    UserError
        If volumes cannot be ingested: the messages of all of them, after the others are ingested.
    """
    shared = [
        VERSIONS["ingest"],
        asdict(reading),
        camera_maps and file_digest(camera_maps),
        options,
    ]
    kept: dict[str, Path] = {}
    for name, source in sources.items():
        fills = no_data[name]
        rules = sorted(fills.items()) if isinstance(fills, dict) else fills
        key = digest([shared, source, fresh_fingerprint(source), rules])
        kept[name] = Path(records[name]).with_name(f"{name}.{key}.progress")
        for other in kept[name].parent.glob(f"{name}.*.progress"):
            if other != kept[name]:  # of another file or config
                other.unlink(missing_ok=True)
    waiting = [name for name in sources if not _is_kept(kept[name])]
    done = len(sources) - len(waiting)
    if done:
        log.info("%d of %d volumes were ingested before", done, len(sources))
    problems: list[UserError] = []
    with progress(
        total=len(sources), initial=done, what="ingest", unit="volumes", seconds=1.0
    ) as bar:
        for name in waiting:
            try:
                ingest(
                    sources[name],
                    record_path=kept[name],
                    name=name,
                    no_data=no_data[name],
                    reading=reading,
                    camera_maps=camera_maps,
                    tells_progress=False,
                    **options,
                )
            except UserError as error:
                problems.append(error)
            else:
                bar.update()
    for problem in problems:
        if len(problems) == 1 or isinstance(problem, DamagedError):  # of a file of the workflow
            raise problem
    if problems:
        count = f"{len(problems)} of {len(sources)} volumes cannot be ingested"
        raise UserError(f"{count}: " + "\n".join(map(str, problems)))
    for name, path in kept.items():
        write_record(records[name], read_record(path))
    for path in kept.values():
        path.unlink()


def _is_kept(path: Path) -> bool:
    try:
        read_record(path)
    except (DamagedError, OSError):
        return False
    return True
