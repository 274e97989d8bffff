"""One measured value with its context: a row of `metrics.csv`."""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decon3d.evaluation.catalogue import METRICS
from decon3d.files import check_rows, digest, read_json, write_json

COLUMNS = {
    "dataset": "Dataset of the config.",
    "channel": "Channel of the config.",
    "method": "A method of the config, or `input`: the blurred image itself.",
    "subject": "`phantoms/test/0007`, `pairs/test/0007`, `volume/<name>`; `sample/0000`: a block "
    "of the data; `probe/beads`, `probe/balls`, `probe/psf_1.1`, `probe/dark`: simulated for this "
    "measurement; `probe/planted/0007`: a restored phantom with known changes.",
    "split": "`test` for phantoms, `measured` for measured pairs, `volume` for a dataset's own "
    "volumes with truth, `data` for the same without truth, `probe` for simulated beads, balls and "
    "noise pairs, `psf_0.75` … `psf_1.25` for a phantom imaged by a PSF of that width, relative to "
    "the PSF that the method assumes.",
    "recipe": "Recipe of simulated subjects; else empty.",
    "photons": "Mean photons of the brightest 0.1 % of the voxels of simulated subjects; else "
    "empty.",
    "metric": "Name of the metric.",
    "variant": "`unmatched`: as restored; `affine`: after the least-squares match to the truth "
    "(SQUIRREL: to the raw image; MicroSSIM has its own match); `common`, `common_unmatched`: with "
    "and without that match, after a blur to the widest target kernel of all methods.",
    "region": "The measured region: `volume`, planes `xy`, `xz`, `yz`, or an axis `z`, `y`, `x`.",
    "range": "R = max - min of the truth in its unit (counts), where the metric uses it.",
    "implementation": "The program, its version and the sampling; for a missing value, the reason.",
    "value": "Empty if the metric is not defined or was not measured.",
    "unit": "`dB`, `µm`, `counts`, `σ` (of the noise), or `1` for a pure number.",
}
"""The columns of `metrics.csv`, which are the fields of a `Record`, and their meaning."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A value of one metric for one subject; `COLUMNS` explains the fields (empty = None).

    Attributes
    ----------
    value
        NaN where it is not defined (stored as null).
    unit
        By default that of the metric.
    """

    dataset: str
    channel: str
    method: str
    subject: str
    split: str
    recipe: str | None = None
    photons: float | None = None
    metric: str
    variant: str = "unmatched"
    region: str = "volume"
    range: float | None = None
    implementation: str
    value: float
    unit: str = ""

    def __post_init__(self) -> None:
        """Fill in the metric's unit."""
        if not self.unit:
            object.__setattr__(self, "unit", METRICS[self.metric].unit or "1")


def write_records(path: str | Path, records: Iterable[Record]) -> None:
    """Write records as a JSON list, atomically; values that are not finite become null.

    Each has a `checksum` of its own, which `read_records` verifies.
    """
    rows = (_finite(dataclasses.asdict(record)) for record in records)
    write_json(path, [{**row, "checksum": digest(row)} for row in rows])


def read_records(path: str | Path) -> list[Record]:
    """Read a file of `write_records`.

    Raises
    ------
    DamagedError
        If a record was changed after it was written.
    """
    rows = read_json(path)
    check_rows(path, rows)
    bodies = [{k: v for k, v in row.items() if k != "checksum"} for row in rows]
    return [
        Record(**{**b, "value": math.nan if b["value"] is None else b["value"]}) for b in bodies
    ]


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
