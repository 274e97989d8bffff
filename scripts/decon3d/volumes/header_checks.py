"""Checks of a volume's header against the config, before any job and again in ingest."""

from collections.abc import Iterable, Mapping, Sequence

from decon3d.errors import UserError
from decon3d.volumes.headers import Header, Triple
from decon3d.volumes.metadata import chosen_voxel_size

SAME_VOXEL = 0.01
"""Largest relative difference between voxel sizes that are taken as equal."""


def volume_problems(
    header: Header,
    *,
    key: str,
    channels: Mapping[str, int],
    times: Sequence[int] | None,
    voxel_size_um: Triple | None,
) -> list[str]:
    """List the contradictions between a volume's header and the dataset's config.

    Parameters
    ----------
    key
        The dataset's key in the config.
    channels
        Channel names of the config with their index in the file.
    times
        Chosen time points; None = all.
    voxel_size_um
        The config's voxel size (Z, Y, X), in µm; None = the metadata's is used.
    """
    found = []
    n_times, n_channels = header.shape[:2]
    for name, index in channels.items():
        if index >= n_channels:
            found.append(
                f"{key}.channels.{name}.index: {index}, but {header.path} has {n_channels} "
                f"channel{'s' * (n_channels != 1)}, counted from 0"
            )
    missing = [t for t in times or () if t >= n_times]
    if missing:
        found.append(
            f"{key}.times: {', '.join(map(str, missing))}, but {header.path} has {n_times} time "
            f"point{'s' * (n_times != 1)}, counted from 0"
        )
    try:
        chosen_voxel_size(header, configured=voxel_size_um, key=f"{key}.voxel_size_um")
    except UserError as error:
        found.append(str(error))
    return found


def same_voxels(a: Sequence[float], b: Sequence[float]) -> bool:
    """Return whether two voxel sizes (Z, Y, X) agree within 1 %."""
    return all(abs(u - v) <= SAME_VOXEL * abs(v) for u, v in zip(a, b, strict=True))


def differing_voxels(sizes: Iterable[tuple[str, Triple]], *, key: str) -> list[str]:
    """List the first volume of a dataset whose voxels differ from the first one's.

    Parameters
    ----------
    sizes
        Path and voxel size (Z, Y, X), in µm, of each volume.
    key
        The dataset's key in the config.
    """
    known = list(sizes)
    others = [(path, size) for path, size in known if not same_voxels(size, known[0][1])]
    if not others:
        return []
    more = f" ({len(others) - 1} more volumes differ, too)" if len(others) > 1 else ""
    return [
        f"{key}: {others[0][0]} has voxels of {_um(others[0][1])}, but {known[0][0]} has voxels "
        f"of {_um(known[0][1])} (Z, Y, X){more}; make two datasets, or set voxel_size_um if the "
        "metadata are wrong"
    ]


def shared_files(headers: Iterable[Header], *, key: str) -> list[str]:
    """List the volumes of a dataset that are two files of the same set."""
    found = []
    first: dict[tuple[str, ...], str] = {}
    for header in headers:
        known = first.setdefault(header.files, header.path) if header.files else header.path
        if known != header.path:
            found.append(
                f"{key}.volumes: {header.path} and {known} belong to one volume, as their OME-XML "
                "states; list one of them"
            )
    return found


def reference_problems(reference: Header, volume: Header, *, key: str) -> list[str]:
    """List why a volume cannot be the truth of another.

    Parameters
    ----------
    reference, volume
        Headers of the truth and of the volume.
    key
        Config key, for messages.
    """
    if reference.shape != volume.shape:
        return [
            f"{key}: the reference {reference.path} has the shape {_shape(reference.shape)}, but "
            f"{volume.path} has {_shape(volume.shape)} (T, C, Z, Y, X); give a reference with the "
            "volume's grid, channels and time points"
        ]
    sizes = reference.voxel_size_um, volume.voxel_size_um
    if sizes[0] and sizes[1] and not same_voxels(sizes[0], sizes[1]):
        return [
            f"{key}: the reference {reference.path} has voxels of {_um(sizes[0])}, but "
            f"{volume.path} of {_um(sizes[1])} (Z, Y, X); resample the reference to the volume's "
            "grid, or correct its metadata"
        ]
    return []


def pair_problems(
    header: Header,
    *,
    channel: int,
    only_channel: bool,
    voxel_size_um: Triple | None,
    key: str,
) -> list[str]:
    """List why a volume cannot be one of a measured pair.

    Parameters
    ----------
    channel
        Index of the dataset's channel.
    only_channel
        Whether the dataset has no other, so that a file with one channel holds it.
    voxel_size_um
        The dataset's voxel size (Z, Y, X), in µm; None = not compared.
    key
        Config key of the pairs.
    """
    found = []
    times, channels = header.shape[:2]
    if times > 1:
        found.append(f"{key}: {header.path} has {times} time points; save them as single volumes")
    if channel >= channels and (channels > 1 or not only_channel):
        found.append(
            f"{key}: {header.path} has {channels} channel{'s' * (channels != 1)}, but the "
            f"dataset's channel has the index {channel}; give pairs with the dataset's channels"
        )
    size = header.voxel_size_um
    if voxel_size_um and size and not same_voxels(size, voxel_size_um):
        found.append(
            f"{key}: {header.path} has voxels of {_um(size)}, but the dataset has voxels of "
            f"{_um(voxel_size_um)} (Z, Y, X); resample the file, or set voxel_size_um if its "
            "metadata are wrong"
        )
    return found


def bead_problems(
    header: Header, *, channel: int | None, voxel_size_um: Triple | None, key: str
) -> list[str]:
    """List why the image of a bead, or a stack of many, cannot give a PSF.

    Parameters
    ----------
    channel
        Position on the stack's channel axis; None = the image of one bead, which has no other.
    voxel_size_um
        The config's voxel size of the file (Z, Y, X), in µm; None = the metadata's is used.
    key
        Config key of the PSF.
    """
    found = []
    times, channels, planes = header.shape[:3]
    if channel is None and (times > 1 or channels > 1):
        found.append(
            f"{key}.path: {header.path} has {times} time point(s) and {channels} channel(s), but "
            "the image of a bead is one stack of planes (Z Y X); save the bead as its own stack, "
            f"or name its axes in {key}.axes"
        )
    if channel is not None and channel >= channels:
        found.append(
            f"{key}.channel is {channel}, but {header.path} has {channels} "
            f"channel{'s' * (channels != 1)}, counted from 0"
        )
    if planes < 3:
        found.append(
            f"{key}.path: {header.path} has {planes} plane{'s' * (planes != 1)}; a bead's image "
            "needs at least 3 (Z Y X)"
        )
    try:
        chosen_voxel_size(header, configured=voxel_size_um, key=f"{key}.voxel_size_um")
    except UserError as error:
        found.append(str(error))
    return found


def _um(size: Sequence[float]) -> str:
    return f"{' × '.join(f'{v:.4g}' for v in size)} µm"


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
