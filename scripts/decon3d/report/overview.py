"""The overview of volumes: thumbnails, numbers, and the outliers."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from decon3d import paths
from decon3d.errors import UserError, needs_traceback
from decon3d.evaluation.catalogue import METRICS
from decon3d.logs import log
from decon3d.report.entries import exists
from decon3d.report.labels import INPUT, method_label
from decon3d.report.run_status import stored
from decon3d.report.templating import lower_first, number
from decon3d.report.viewer import data_uri, grey_picture
from decon3d.report.views import Source, Values, pyramid
from decon3d.settings import Settings
from decon3d.volumes.volume_record import VolumeRecord, load_record

FEW = 4
"""Most volumes that are all shown; of more, the most typical one and the outliers are."""
ODD_SHOWN = 2
LEAST = 5
"""Least number of volumes in which outliers are looked for."""
ODD = 5.0
"""Deviations from the median that make a volume an outlier."""
FLOOR = 0.02
"""Least deviation, relative to the median: nearly equal volumes have no outlier."""
BROKEN = 1e6
"""Score of a volume that cannot be read."""
THUMBNAIL = 96
THUMBNAIL_QUALITY = 60


@dataclass(frozen=True)
class Fact:
    """A column of the overview: its heading, unit and number of digits."""

    label: str
    unit: str = ""
    digits: int = 2


@dataclass
class Row:
    """A volume: pictures, numbers by fact, and the facts in which it is an outlier.

    `missing` lists the methods without a result of this volume, and `lacking` those of them that
    have a result of another volume.
    """

    name: str
    record: VolumeRecord | None
    values: dict[str, float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    score: float = 0.0
    why: str = ""
    pictures: list[tuple[str, str]] = field(default_factory=list)
    page: str | None = None

    @property
    def shape(self) -> str:
        """Voxels (Z, Y, X) in words."""
        return " × ".join(map(str, self.record.shape[2:])) if self.record else "–"

    @property
    def odd(self) -> bool:
        """Whether it should be inspected before the others."""
        return bool(self.lacking) or self.score >= ODD


def volume_rows(
    root: Path, *, dataset: str, settings: Settings
) -> tuple[dict[str, Fact], list[Row]]:
    """Collect the facts about each ingested volume, outliers first.

    Parameters
    ----------
    root
        The working directory of the workflow.

    Returns
    -------
    facts, rows
        The columns, and the volumes: those that lack a result that others have first, then
        outliers by how far their oddest number lies from the median of all volumes, in (robust)
        standard deviations, then the others by name (`cell2` before `cell10`).
    """
    facts: dict[str, Fact] = {}
    rows = []
    for path in sorted(root.glob(paths.ingested(dataset, "*"))):
        try:
            rows.append(_row(root, dataset, path.stem, settings, facts))
        except Exception as error:  # one broken volume must not hide the others
            log.warning("%s could not be read: %s", path, error, exc_info=needs_traceback(error))
            rows.append(Row(path.stem, None, score=BROKEN, why=f"cannot be read: {error}"))
    _add_metrics(root, dataset, facts, rows)
    _score(facts, rows)
    read = [row for row in rows if row.record is not None]
    begun = {m for m in settings.methods if any(m not in row.missing for row in read)}
    for row in rows:
        row.lacking = [method for method in row.missing if method in begun]
    rows.sort(
        key=lambda row: (
            -len(row.lacking),
            -row.score if row.score >= ODD else 0,
            _by_number(row.name),
        )
    )
    return {key: fact for key, fact in facts.items() if any(key in r.values for r in rows)}, rows


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names by the numbers in them."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def same_for_all(facts: dict[str, Fact], rows: Sequence[Row]) -> dict[str, str]:
    """List the facts that look the same for all of several volumes, which need no column.

    Returns
    -------
    dict
        The value in words, by key of `facts`; `shape` for the number of voxels.
    """
    if len(rows) < 2:
        return {}
    found: dict[str, str] = {}
    shapes = {row.shape for row in rows}
    if len(shapes) == 1:
        found["shape"] = f"{rows[0].shape} voxels (Z, Y, X)"
    for key, fact in facts.items():
        values = {number(row.values.get(key), fact.digits) for row in rows}
        if len(values) == 1:
            unit = f" {fact.unit}" if fact.unit else ""
            found[key] = f"{lower_first(fact.label)} {values.pop()}{unit}"
    return found


def shown_volumes(rows: Sequence[Row]) -> list[str]:
    """Choose the volumes shown in full: all of a few, else the typical one and outliers."""
    if len(rows) <= FEW:
        return [row.name for row in sorted(rows, key=lambda row: row.name)]
    typical = min(rows, key=lambda row: (row.record is None, len(row.missing), row.score))
    odd = [row for row in rows if row is not typical and row.odd][:ODD_SHOWN]
    return [typical.name, *(row.name for row in odd)]


def add_pictures(
    root: Path, rows: Sequence[Row], *, dataset: str, settings: Settings, method: str | None
) -> None:
    """Give each row thumbnails of the raw volume and of one method's: projections along Z."""
    channel = next(iter(settings.datasets[dataset].channels.values()))
    time = (settings.datasets[dataset].times or [0])[0]
    for row in rows:
        if row.record is None:
            continue
        wanted = [Source("raw", root / row.record.path, time, channel.index)]
        if method is not None:
            store = root / paths.restored(dataset, row.name, method)
            wanted.append(Source(method_label(method), store, 0, 0))
        for source in wanted:
            try:
                finest, *coarser = pyramid(source)
                fine = [level for level in coarser if min(level.shape[3:]) >= THUMBNAIL]
                level = fine[-1] if fine else finest
                values = level.read(source.time, source.channel, (slice(None),) * 3)
            except (UserError, OSError, IndexError) as error:
                log.debug("no thumbnail of %s: %s", source.path, error)
                continue
            row.pictures.append((source.label, _thumbnail(values.max(axis=0))))


def _row(root: Path, dataset: str, volume: str, settings: Settings, facts: dict[str, Fact]) -> Row:
    record = load_record(root / paths.ingested(dataset, volume))
    channels = settings.datasets[dataset].channels
    row = Row(volume, record)

    def add(key: str, fact: Fact, value: float | None) -> None:
        facts.setdefault(key, fact)
        if value is not None and math.isfinite(value):
            row.values[key] = float(value)

    for name, channel in channels.items():
        of = f", {name}" if len(channels) > 1 else ""
        histogram = record.histogram(channel.index)
        voxels = max(int(histogram.counts.sum()), 1)
        add(f"background/{name}", Fact(f"Background{of}", "counts", 1), histogram.background()[0])
        add(
            f"bright/{name}",
            Fact(f"99.9th percentile{of}", "counts", 0),
            histogram.percentile(99.9),
        )
        share = record.saturated[str(channel.index)] / voxels
        add(f"saturated/{name}", Fact(f"Saturated{of}", "%", 3), 100 * share)
    for method in settings.methods:
        if not exists(root / paths.restored(dataset, volume, method)):
            row.missing.append(method)
            continue
        found = stored(root / paths.finished(dataset, method)).get(volume, {})
        seams = [s for s in found.get("seam_index", {}).values() if s is not None]
        worst = max(seams, key=lambda s: abs(s - 1), default=None)
        add(f"seam/{method}", Fact(f"Seam index, {method_label(method)}", "", 2), worst)
        maps = stored(root / paths.consistency_record(dataset, method)).get(volume) or {}
        for key, what in (("flagged", "Inconsistent voxels"), ("not_verifiable", "Not verifiable")):
            # The channel with the largest share counts.
            shares = [check[key] for check in maps.get("checks", []) if check.get(key) is not None]
            fact = Fact(f"{what}, {method_label(method)}", "%", 2)
            add(f"{key}/{method}", fact, 100 * max(shares) if shares else None)
    if (root / paths.volume_page(dataset, volume)).is_file():
        row.page = f"volumes/{volume}.html"
    return row


def _add_metrics(root: Path, dataset: str, facts: dict[str, Fact], rows: list[Row]) -> None:
    """Add the affine-matched PSNR of volumes with truth."""
    table = root / paths.table(dataset, "metrics.csv")
    if not table.is_file():
        return
    metrics = pd.read_csv(table).dropna(subset=["value"])
    chosen = metrics.query("split == 'volume' and metric == 'psnr' and variant == 'affine'")
    means = chosen[chosen["method"] != INPUT].groupby(["subject", "method"])["value"].mean()
    by_subject = {f"volume/{row.name}": row for row in rows}
    for (subject, method), value in means.items():
        if subject in by_subject:
            label = f"{METRICS['psnr'].label}, {method_label(method)}"
            facts.setdefault(f"psnr/{method}", Fact(label, "dB", 1))
            by_subject[subject].values[f"psnr/{method}"] = float(value)


def _score(facts: dict[str, Fact], rows: list[Row]) -> None:
    if len(rows) < LEAST:
        return
    for key, fact in facts.items():
        known = np.array([row.values[key] for row in rows if key in row.values])
        if len(known) < LEAST:
            continue
        median = float(np.median(known))
        spread = 1.4826 * float(np.median(np.abs(known - median)))
        spread = max(spread, FLOOR * abs(median), 1e-9 if fact.unit != "%" else 0.1)
        for row in rows:
            deviation = (row.values.get(key, median) - median) / spread
            if abs(deviation) > row.score:
                row.score = abs(deviation)
                row.why = f"{fact.label}: {'high' if deviation > 0 else 'low'}"
    for row in rows:
        if row.score < ODD:
            row.why = ""


def _thumbnail(projection: Values) -> str:
    """Draw a projection (Y, X) as a small grey picture, stretched to its own range."""
    image, _ = grey_picture(projection)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return data_uri(image, quality=THUMBNAIL_QUALITY)
