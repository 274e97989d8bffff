"""Find missing and damaged files in all results: `python scripts/verify.py [FOLDER]`."""

import sys
from pathlib import Path

from decon3d.files import DIGESTS
from decon3d.volumes.verify import verify

TARGETS = {"figures": "index.json", "tables": "metrics.csv"}
"""The file of a folder whose rule makes all others, too."""


def advice(path: Path) -> str:
    """Describe how to make a file again; the workflow notices missing files of stores only."""
    target, how = path, " with {} as target"
    if any(part.endswith(".zarr") for part in path.parts[:-1]):
        how = ""
    elif path.parent.name in TARGETS:
        target = path.with_name(TARGETS[path.parent.name])
    elif path.parent.parent.name == "psf":
        target = path.with_name("psf.tif")
    elif path.name == DIGESTS:
        target = path.with_name("report.html")
    first = f"delete {target} and " if target.exists() else ""
    return f"to make it again, {first}run the workflow{how.format(target)}"


def main(folder: str) -> int:
    """Print a line for each damage; return the exit status."""
    results = Path(folder)
    if not results.is_dir():
        print(f"{folder} is not a folder; give the folder of the results", file=sys.stderr)
        return 2
    found = 0
    for error in verify(results):
        found += 1
        print(f"Error: {error}; {advice(error.path)}")
    print(f"{folder}: {found} damaged file(s)" if found else f"{folder}: undamaged")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:2] or ["results"])))
