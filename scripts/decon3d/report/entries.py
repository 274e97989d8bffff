"""The entry of a figure in the list of figures, and the inputs of all figures of a dataset."""

from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from decon3d.report.templating import quantity
from decon3d.settings import Dataset, Settings


@dataclass(frozen=True)
class Entry:
    """A figure's place on the page and the words beside it.

    Attributes
    ----------
    name
        Of its files, without ending.
    section
        Name of the section of the page.
    caption
        At most three lines (240 characters). Numbers belong into the table.
    note
        A longer explanation, which the page folds.
    columns, rows
        The figure's table: heads, and cells as text. The first column has row heads.
    of
        What the rows are about, e.g. a volume, where tables of several figures are joined.
    folded
        Whether the page folds the figure itself, too.
    """

    name: str
    section: str
    title: str
    caption: str
    note: str = ""
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    of: str = ""
    folded: bool = False


Drawn = list[tuple[Entry, Figure]]


@dataclass(frozen=True)
class Job:
    """The inputs of the figures of one dataset: working directory, name, settings."""

    root: Path
    name: str
    settings: Settings

    @property
    def dataset(self) -> Dataset:
        """The dataset's settings."""
        return self.settings.datasets[self.name]


def exists(store: Path) -> bool:
    """Return whether a store is complete."""
    return (store / "zarr.json").is_file()


def of_channel(job: Job, channel: str) -> str:
    """Return the channel as the end of a title; empty if there is only one."""
    return f", channel {channel}" if len(job.dataset.channels) > 1 else ""


def projection_caption(shown: tuple[float, float]) -> str:
    """Describe projections and their grey scale (low, high; counts)."""
    return (
        "Maximum projections along Z (above) and Y (below), on one length scale and one grey scale "
        f"({quantity(shown[0])} to {quantity(shown[1])} counts)."
    )
