"""The measured pairs of a dataset, as the report shows them."""

from pathlib import Path
from typing import Any

from decon3d import paths
from decon3d.files import read_json
from decon3d.settings import Settings


def pair_rows(root: Path, *, dataset: str, settings: Settings) -> list[dict[str, Any]]:
    """List how each pair was registered and matched, per channel.

    Returns
    -------
    list of dict
        `channel`, `shape` (voxels of a tile, Z, Y, X) and `rows`: what `pairs.json` says of each
        pair (see `decon3d.pairs.stores`), ordered by split.
    """
    found = []
    for channel in settings.datasets[dataset].channels:
        path = root / paths.measured_pairs(dataset, channel)
        if path.is_file():
            content = read_json(path)
            rows = sorted(content["pairs"], key=lambda row: (row["split"], row["specimen"]))
            found.append({"channel": channel, "shape": content["shape"], "rows": rows})
    return found
