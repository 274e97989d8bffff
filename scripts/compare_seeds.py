"""Compare a network with its best classical rival over several seeds: `make demo-seeds`.

Each argument is a `metrics.csv` of a run with its own seed (other phantoms, other training). A run
counts once per recipe, by the mean over its test phantoms. The unit is recipe × training seed (×
optics, where the runs differ in them); intervals are Student's over the runs, and over all units
the wider of Student's and the bootstrap's.
"""

import math
import sys

import pandas as pd
from scipy import stats

from decon3d.evaluation.statistics import LEAST, estimate_mean

NETWORK, RIVAL = "rln", "rltv"


def margins(path: str) -> pd.Series:
    """Mean difference network - rival in affine-matched PSNR (dB), by recipe."""
    table = pd.read_csv(path)
    chosen = table.query("metric == 'psnr' and variant == 'affine' and split == 'test'")
    by_method = chosen.pivot_table("value", ["recipe", "subject"], "method")
    return (by_method[NETWORK] - by_method[RIVAL]).groupby("recipe").mean()


def main(paths: list[str]) -> None:
    """Print the margins of every run and their mean."""
    table = pd.DataFrame({path: margins(path) for path in paths})
    print(f"{NETWORK} - {RIVAL}, affine-matched PSNR in dB, mean over the test phantoms")
    for recipe, values in table.iterrows():
        each = ", ".join(f"{v:+.2f}" for v in values)
        low, high = math.nan, math.nan
        if len(values) >= LEAST:
            low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        print(
            f"{recipe}: {each}; mean {values.mean():+.2f} {_spread(low, high, len(values))} seeds)"
        )
    units = estimate_mean(table.to_numpy().ravel().tolist(), seed=1, name="units")
    spread = _spread(*units.cautious, units.n)
    print(f"all: mean {units.mean:+.2f} {spread} units of recipe × seed)")


def _spread(low: float, high: float, n: int) -> str:
    """Write the start of a bracket: the interval, where n allows one, and n."""
    interval = f"95 % interval {low:+.2f} … {high:+.2f}, " if math.isfinite(low) else ""
    return f"({interval}n = {n}"


if __name__ == "__main__":
    main(sys.argv[1:])
