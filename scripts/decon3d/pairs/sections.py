"""Sections of the config about measured pairs."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt
from pydantic_core import PydanticCustomError

from decon3d.field_types import Files, Section, Shape


def _one_group(value: str | None) -> str | None:
    try:
        groups = 1 if value is None else re.compile(value).groups
    except re.error as error:
        raise PydanticCustomError(
            "pairs",
            "is not a regular expression: {reason}; correct the pattern",
            {"reason": str(error)},
        ) from None
    if groups != 1:
        raise PydanticCustomError(
            "pairs",
            "needs exactly one group in parentheses, which holds the specimen's name, e.g. "
            "'(fish[0-9]+)_'",
        )
    return value


Share = Annotated[float, Field(gt=0, lt=1)]


class MeasuredPairs(Section):
    """Measured pairs of a raw and a true volume, instead of phantoms."""

    raw: Files
    """Input volumes of the methods (low exposure, confocal …): a path, a folder, a glob, or a list
    of these."""
    truth: Files
    """The truth of each raw volume (high exposure, STED …), on the same voxel grid: as many files
    as `raw`, in the same order."""
    specimen: Annotated[str | None, AfterValidator(_one_group)] = None
    """Regular expression with one group, which matches the specimen's name in the name of the raw
    file. Null = every pair is a specimen of its own. Pairs of one specimen stay in one split."""
    val: Share = 0.15
    """Share of the specimens for choosing the best weights and tuning classical methods; at least
    one specimen."""
    test: Share = 0.15
    """Share of the specimens for the report's numbers; at least one specimen."""
    shape: Shape | None = None
    """Size (Z, Y, X) in voxels of the tiles that are cut from the pairs; null = the size of the
    smallest pair, at most 64 × 256 × 256. Tiles that contain voxels without data are not used."""
    tiles: PositiveInt = 4
    """Largest number of tiles per training pair; the brightest tiles are used. Pairs for validation
    and test give one tile each."""
    max_shift_um: PositiveFloat = 2.0
    """Largest shift between raw volume and truth, in µm. Smaller shifts are corrected, larger ones
    are errors."""
    max_drift_um: PositiveFloat = 0.5
    """Largest difference of the shift between parts of a pair (halves along Z, lateral quarters),
    in µm. A larger difference is an error, since no single translation registers the pair."""
