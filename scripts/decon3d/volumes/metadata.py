"""Metadata that every format has: axes, voxel size, position, names and colours of channels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from decon3d.errors import UserError
from decon3d.units import LARGEST_VOXEL_UM, SMALLEST_VOXEL_UM, finite, micrometres
from decon3d.volumes.stated_optics import NOTHING, Stated
from decon3d.volumes.volume import AXES, SINGLE, Triple, Volume

if TYPE_CHECKING:
    from decon3d.volumes.headers import Header

Length = tuple[Any, str]
"""A size and its unit, as in the file."""
Lengths = tuple[Length | None, Length | None, Length | None]
"""Along Z, Y, X; None = not in the file."""
CONTRADICTION = 1.05
"""Ratio of two voxel sizes, above which they contradict each other."""


@dataclass(frozen=True)
class ImageMetadata:
    """The metadata of a TIFF's image.

    Attributes
    ----------
    voxel, position
        Voxel size, and position of the first voxel on the stage.
    channel_names, channel_colors
        By channel; colours are RRGGBB, None = the channel has none.
    time_interval_s
        Time between time points, in s; None = unknown.
    significant_bits
        Bits of the counts, where they are fewer than the type has.
    stated
        Its metadata about the microscope.
    """

    voxel: Lengths = (None, None, None)
    position: Lengths = (None, None, None)
    channel_names: tuple[str | None, ...] = ()
    channel_colors: tuple[str | None, ...] = ()
    time_interval_s: float | None = None
    significant_bits: int | None = None
    stated: Stated = NOTHING


def voxel_in_um(sizes: Sequence[Length | None]) -> tuple[Triple | None, str]:
    """Convert the sizes of a voxel along Z, Y, X to µm.

    Returns
    -------
    tuple
        Voxel size (Z, Y, X) in µm, or None with the problem; None and "" if the file has none.
    """
    result, problems = [], []
    for axis, entry in zip("ZYX", sizes, strict=True):
        if entry is None:
            problems.append(f"it has no size along {axis}")
            continue
        size, unit = entry
        length = micrometres(size, unit)
        if length is not None and SMALLEST_VOXEL_UM <= length <= LARGEST_VOXEL_UM:
            result.append(length)
        elif length is None and finite(size) is not None:
            problems.append(f"its unit {unit!r} along {axis} is not a known length")
        else:
            problems.append(
                f"{_short(size)} {unit or 'µm'} along {axis} is outside {SMALLEST_VOXEL_UM:g} to "
                f"{LARGEST_VOXEL_UM:g} µm"
            )
    if problems:
        return None, "" if all(entry is None for entry in sizes) else "; ".join(problems)
    return (result[0], result[1], result[2]), ""


def chosen_voxel_size(volume: "Volume | Header", *, configured: Triple | None, key: str) -> Triple:
    """Return a volume's voxel size (Z, Y, X) in µm: the config's, or else the metadata's.

    Parameters
    ----------
    key
        Config key of the voxel size, for messages.

    Raises
    ------
    UserError
        If neither has one, or the config's looks like X Y Z: it is the reversed size of the file,
        or has rectangular pixels that are longer than the step in Z and that the file does not
        confirm.
    """
    found = volume.voxel_size_um
    if configured is None:
        if found is None:
            stated = volume.voxel_size_problem
            problem = f"has one that cannot be used ({stated})" if stated else "has none"
            raise UserError(
                f"{key} is missing: {volume.path} {problem}; give [Z, Y, X] in µm, e.g. "
                "[0.3, 0.1, 0.1]"
            )
        return found
    if found is not None and not differ(configured, found):
        return configured
    z, y, x = configured
    oblong = differ((y,), (x,)) and max(y, x) > CONTRADICTION * z
    if oblong or (found is not None and not differ(configured[::-1], found)):
        stated = "" if found is None else f"; the file states {in_words(found)}"
        raise UserError(
            f"{key}: {in_words(configured)} has Y ≠ X and may be in the order X Y Z{stated}; give "
            "[Z, Y, X]"
        )
    return configured


def size_warnings(volume: Volume, configured: Triple | None) -> list[str]:
    """List the warnings about a volume's voxel size, for the report.

    Parameters
    ----------
    configured
        The config's voxel size (Z, Y, X), in µm; None = the metadata's is used.
    """
    found = volume.voxel_size_um
    if configured is None:
        return [volume.voxel_size_note] if volume.voxel_size_note else []
    if found is None or not differ(configured, found):
        return []
    return [
        f"the config's voxel size {in_words(configured)} is used, but the file states "
        f"{in_words(found)}"
    ]


def differ(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether sizes differ by more than `CONTRADICTION` on any axis."""
    ratios = (a / b for a, b in zip(one, other, strict=True))
    return any(not 1 / CONTRADICTION <= ratio <= CONTRADICTION for ratio in ratios)


def in_words(size: Triple) -> str:
    """Write a voxel size (Z, Y, X), in µm, with four digits."""
    return f"[{', '.join(f'{v:.4g}' for v in size)}] µm (Z, Y, X)"


def _short(size: object) -> str:
    number = finite(size)
    return str(size) if number is None else f"{number:.6g}"


def position_of(places: Sequence[Length | None]) -> Triple | None:
    """Convert a position (Z, Y, X) to µm, 0 where an axis has none; None if it is 0 on all."""
    z, y, x = (0.0 if place is None else micrometres(*place) or 0.0 for place in places)
    return (z, y, x) if z or y or x else None


def axes_of(path: str, shape: Sequence[int], found: str, wanted: str | None = None) -> str:
    """Name every dimension of an array.

    Parameters
    ----------
    shape
        Of the array.
    found
        Letters that the file gives its dimensions. One of unknown meaning (Q, I) is Z where there
        is no other Z longer than 1: a stack without metadata.
    wanted
        Letters that the config gives them (`axes`), all or those longer than 1; None = the file's.

    Returns
    -------
    str
        A letter per dimension: T, C, Z, Y, X or `volume.SINGLE` for one of length 1 that has no
        meaning here.

    Raises
    ------
    UserError
        If they do not fit the array, or are not Y and X and any of T, C and Z, each once.
    """
    sizes = " × ".join(f"{a} {n}" for a, n in zip(found, shape, strict=True))
    if wanted is not None:
        known = [n > 1 or a in AXES for a, n in zip(found, shape, strict=True)]
        for named in ([True] * len(shape), known, [n > 1 for n in shape]):
            if len(wanted) == sum(named):
                letters = iter(wanted)
                axes = "".join(next(letters) if is_named else SINGLE for is_named in named)
                break
        else:
            raise UserError(
                f"axes: {wanted} names {len(wanted)} dimensions, but {path} has {len(shape)} "
                f"({sizes}); give one letter of T, C, Z, Y, X for each"
            )
    else:
        axes = "".join(
            SINGLE if n == 1 and a not in AXES else a for a, n in zip(found, shape, strict=True)
        )
        unknown = [a for a in axes if a in "QI"]
        longer = {a for a, n in zip(axes, shape, strict=True) if n > 1}
        if len(unknown) == 1 and "Z" not in longer:
            axes = axes.replace("Z", SINGLE).replace(unknown[0], "Z")
    check_axes(path, axes, sizes)
    return axes


def check_axes(path: str, axes: str, sizes: str = "") -> None:
    """Raise `UserError` unless the axes are Y and X and any of T, C and Z, each once."""
    letters = axes.replace(SINGLE, "")
    known = not set(letters) - set(AXES) and {"Y", "X"} <= set(letters)
    if known and len(set(letters)) == len(letters):
        return
    if "S" in letters:
        raise UserError(
            f"{path} is an RGB picture (axes {sizes or letters}); save the channels as grey "
            "values, or, if the colours are channels or planes, name all axes in the dataset's "
            "`axes`, e.g. CZYX"
        )
    raise UserError(
        f"{path} has the axes {sizes or letters}; volumes need Y and X and may have T, C and Z, "
        "each once; name them in the dataset's `axes`, e.g. TZYX"
    )


def check_stack(volume: Volume) -> None:
    """Raise `UserError` if a volume is empty or one plane: an image, a time series, channels."""
    times, channels, planes, height, width = volume.shape
    if 0 in volume.shape:
        sizes = " × ".join(f"{a} {n}" for a, n in zip(AXES, volume.shape, strict=True))
        raise UserError(f"{volume.path} holds no voxels ({sizes}); export it again")
    if planes > 1:
        return
    many = [f"{n} {what}" for n, what in ((times, "time points"), (channels, "channels")) if n > 1]
    of = f"{' × '.join(many)} of one plane" if many else "one plane"
    plane = f"{height} × {width}, Y × X"
    text = f"{volume.path} holds {of} ({plane}), no Z stack; 2D images cannot be restored"
    for axis, count, what in (("T", times, "time points"), ("C", channels, "channels")):
        if count > 1:
            letters = volume.axes.replace("Z", "").replace(SINGLE, "")
            letters = "".join(a for a in letters if a in "YX" or volume.shape[AXES.index(a)] > 1)
            text += f"; if the {what} are Z planes, give axes: {letters.replace(axis, 'Z')}"
    if not many:
        text += "; if it is one plane of a stack, name the folder with all planes instead"
    raise UserError(text)


def channel_names_of(names: Sequence[Any], axes: str, shape: Sequence[int]) -> tuple[str, ...]:
    """Name every channel; those without a name by their position.

    Parameters
    ----------
    names
        The file's names, in order; empty ones and None count as no name.
    axes, shape
        Letters and lengths of the array's axes.
    """
    count = dict(zip(axes, shape, strict=True)).get("C", 1)
    named = [str(n) if n else f"channel {i}" for i, n in enumerate(names)][:count]
    return tuple(named + [f"channel {i}" for i in range(len(named), count)])


def channel_colors_of(
    colors: Sequence[str | None], axes: str, shape: Sequence[int]
) -> tuple[str, ...]:
    """Colour every channel; white (as in OME) for channels without a colour.

    Parameters
    ----------
    colors
        RRGGBB with or without #, in order; None = no colour.
    axes, shape
        Letters and lengths of the array's axes.

    Returns
    -------
    tuple of str
        RRGGBB for each channel; empty if no channel has a colour.
    """
    count = dict(zip(axes, shape, strict=True)).get("C", 1)
    found = [(color or "FFFFFF").lstrip("#").upper() for color in colors][:count]
    return tuple(found + ["FFFFFF"] * (count - len(found))) if any(colors) else ()
