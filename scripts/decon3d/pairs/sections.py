"""Sections of the config about measured pairs."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt
from pydantic_core import PydanticCustomError

from decon3d.field_types import Section, Shape


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
    """Measured pairs of a raw and a true volume, in place of phantoms."""

    raw: str | Annotated[list[str], Field(min_length=1)]
    """Volumes as the methods get them (low exposure, confocal …): a path, a folder, a glob, or a
    list of these."""
    truth: str | Annotated[list[str], Field(min_length=1)]
    """What they should become (high exposure, STED …), on the same voxel grid: as many files, in
    the same order."""
    specimen: Annotated[str | None, AfterValidator(_one_group)] = None
    """Regular expression whose one group finds the specimen's name in the raw file's name; null =
    every pair is a specimen of its own. Pairs of one specimen stay in one split."""
    val: Share = 0.15
    """Share of the specimens that pick the best weights and tune the baselines; at least one."""
    test: Share = 0.15
    """Share of the specimens that the report's numbers are measured on; at least one."""
    shape: Shape | None = None
    """Voxels (Z, Y, X) of the tiles that pairs are cut into; null = the smallest pair's, at most
    64 × 256 × 256. Tiles with voxels without data are left out."""
    tiles: PositiveInt = 4
    """Tiles of a training pair, the brightest ones, at most; validation and test take one each."""
    max_shift_um: PositiveFloat = 2.0
    """A pair whose truth lies farther off is refused, in µm; smaller shifts are undone."""
    max_drift_um: PositiveFloat = 0.5
    """A pair whose parts (halves along Z, lateral quarters) are shifted differently by more than
    this is refused, in µm: no translation lays it on top of each other."""
