"""The margins over several seeds: one value per recipe and run, whatever the number of phantoms."""

import subprocess
import sys

import pandas as pd

from support.paths import ROOT


def write_run(folder, margins, count):
    """A run's metrics: the network better by so many dB per recipe, scattered around it."""
    records = []
    for recipe, margin in margins.items():
        for i in range(count):
            for method, value in (("rltv", 20.0 + i), ("rln", 20.0 + i + margin + 0.1 * (-1) ** i)):
                for variant in ("affine", "unmatched"):
                    records.append(
                        {
                            "method": method,
                            "subject": f"phantoms/test/{recipe}{i}",
                            "split": "test",
                            "recipe": recipe,
                            "metric": "psnr",
                            "variant": variant,
                            "value": value if variant == "affine" else 0.0,
                        }
                    )
    path = folder / "metrics.csv"
    folder.mkdir()
    pd.DataFrame(records).to_csv(path)
    return str(path)


def test_a_run_counts_once_per_recipe(tmp_path):
    paths = [
        write_run(tmp_path / str(seed), {"seen": 1.0 + seed, "unseen": -1.0}, count=2 * seed + 2)
        for seed in range(3)
    ]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "compare_seeds.py"), *paths],
        env={"PYTHONPATH": str(ROOT / "scripts")},
        text=True,
        capture_output=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[1].startswith("seen: +1.00, +2.00, +3.00; mean +2.00 (95 % interval -0.48 … +4.48")
    assert lines[2].startswith("unseen: -1.00, -1.00, -1.00; mean -1.00")
    assert lines[3].startswith("all: mean +0.50") and lines[3].endswith(
        "n = 6 units of recipe × seed)"
    )
