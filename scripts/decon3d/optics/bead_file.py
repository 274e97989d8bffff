"""Read the image of a bead, or of many, and its voxel size."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.files import digest, file_digest
from decon3d.optics.arrays import Triple
from decon3d.volumes.header_checks import bead_problems
from decon3d.volumes.headers import Header
from decon3d.volumes.metadata import chosen_voxel_size, size_warnings
from decon3d.volumes.reader import FROM_FILE, Reading, open_volume


def read_bead_file(
    path: str | Path,
    *,
    channel: int | None = None,
    voxel_size_um: Triple | None,
    key: str,
    reading: Reading = FROM_FILE,
) -> tuple[NDArray[Any], Triple, list[str]]:
    """Read a stack of beads, or of one bead, and its voxel size.

    Parameters
    ----------
    path
        Any volume that `open_volume` reads; its first time point is used.
    channel
        Position on its channel axis; None = one bead: the file has one time point and channel.
    voxel_size_um
        Given voxel size (Z, Y, X), in µm; None = from the metadata.
    key
        Config key of the PSF, for messages.
    reading
        Which image of the file, and its axes: the config's `series` and `axes`.

    Returns
    -------
    tuple
        Counts as stored, axes Z Y X; the voxel size (Z, Y, X), in µm; warnings about that size, for
        the report.

    Raises
    ------
    UserError
        If the file is missing, cannot be read, lacks the channel, is not a stack of planes, or has
        no known voxel size.
    """
    if not Path(path).exists():
        raise UserError(f"{key}.path: {path} does not exist; check the path")
    try:
        volume = open_volume(path, reading=reading)
    except UserError as error:
        raise UserError(f"{key}.path: {error}") from None
    problems = bead_problems(
        Header.of(volume), channel=channel, voxel_size_um=voxel_size_um, key=key
    )
    if problems:
        raise UserError("\n".join(problems))
    voxel = chosen_voxel_size(volume, configured=voxel_size_um, key=f"{key}.voxel_size_um")
    data = volume.read(0, channel or 0, (slice(None), slice(None), slice(None)))
    return data, voxel, size_warnings(volume, voxel_size_um)


def describe_file(
    path: str | Path, data: NDArray[Any], voxel_size_um: Triple, *, channel: int | None = None
) -> dict[str, Any]:
    """Return a PSF's record of its file, with a hash of the file or of all files of a folder.

    Parameters
    ----------
    path, channel
        As for `read_bead_file`.
    data, voxel_size_um
        Counts (Z, Y, X) and voxel size (Z, Y, X; µm) that were read from it.
    """
    if Path(path).is_file():
        content = file_digest(path)
    else:
        files = sorted(f for f in Path(path).rglob("*") if f.is_file())
        content = digest([[str(f.relative_to(path)), file_digest(f)] for f in files])
    return {
        "path": str(path),
        "digest": content,
        "shape": list(data.shape),
        **({} if channel is None else {"channel": channel}),
        "voxel_size_um": list(voxel_size_um),
    }
