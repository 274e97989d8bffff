"""Ratios of an earlier run, and which of this run's are worse: `recorded.yaml`.

Only ratios to a peer of the same run are recorded, since times differ between machines.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("recorded.yaml")
ALLOWED = 1.1
"""A ratio may be worse by this factor."""


@dataclass(frozen=True)
class Ratio:
    """One ratio: the median of its repeats, their least and their most."""

    median: float
    least: float
    most: float
    worse: str
    """What it is if it is worse, e.g. `slower`."""
    more_is_better: bool = False

    def worse_than(self, before: "Ratio") -> bool:
        """Return whether it is more than 10 % worse than before, and the spreads do not overlap."""
        if self.more_is_better:
            return self.median * ALLOWED < before.median and self.most < before.least
        return self.median > before.median * ALLOWED and self.least > before.most


def regressions(before: Mapping[str, Ratio], now: Mapping[str, Ratio]) -> list[str]:
    """Name each ratio that is worse than before, by its name."""
    return [
        f"{ratio.worse}: {name} {old.median:.3g} → {ratio.median:.3g} "
        f"({100 * (ratio.median / old.median - 1):+.0f} %)"
        for name, ratio in now.items()
        if (old := before.get(name)) and ratio.worse_than(old)
    ]


def load(path: Path = FILE) -> tuple[dict[str, str], dict[str, Ratio]]:
    """Return the machine, date and versions of the recorded run, and its ratios by name."""
    if not path.is_file():
        return {}, {}
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values["run"], {name: Ratio(**ratio) for name, ratio in values["ratios"].items()}


def save(run: Mapping[str, str], ratios: Mapping[str, Ratio], path: Path = FILE) -> None:
    """Record the ratios of a run, in place of those of the same names."""
    kept = load(path)[1] | ratios
    values = {"run": dict(run), "ratios": {name: _rounded(kept[name]) for name in sorted(kept)}}
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=100)
    path.write_text(text, encoding="utf-8")


def _rounded(ratio: Ratio) -> dict[str, Any]:
    """Three digits, which is more than a repeat has."""
    values = asdict(ratio)
    return {k: float(f"{v:.3g}") if type(v) is float else v for k, v in values.items()}
