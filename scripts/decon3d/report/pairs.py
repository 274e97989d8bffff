"""The measured pairs of a dataset, as the report shows them."""

from pathlib import Path
from typing import Any

from decon3d import paths
from decon3d.files import read_json
from decon3d.settings import Settings


def pair_rows(root: Path, *, dataset: str, settings: Settings) -> list[dict[str, Any]]:
    """List the registration and matching of each pair, per channel.

    Returns
    -------
    list of dict
        `channel`, `shape` (voxels of a tile, Z, Y, X) and `rows`: the entries of `pairs.json` for
        each pair (see `decon3d.pairs.stores`), ordered by split.
    """
    found = []
    for channel in settings.datasets[dataset].channels:
        path = root / paths.measured_pairs(dataset, channel)
        if path.is_file():
            content = read_json(path)
            rows = sorted(content["pairs"], key=lambda row: (row["split"], row["specimen"]))
            found.append({"channel": channel, "shape": content["shape"], "rows": rows})
    return found


def test_specimens(root: Path, *, dataset: str, settings: Settings) -> dict[str, str]:
    """Name the specimen of every measured test pair, by channel and subject.

    Returns
    -------
    dict
        `signal/pairs/test/0000` and so on, in the order of the test store.
    """
    found: dict[str, str] = {}
    for channel in settings.datasets[dataset].channels:
        path = root / paths.measured_pairs(dataset, channel)
        pairs = read_json(path)["pairs"] if path.is_file() else []
        names = [row["specimen"] for row in pairs if row["split"] == "test"]
        found |= {f"{channel}/pairs/test/{i:04d}": name for i, name in enumerate(names)}
    return found
