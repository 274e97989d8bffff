"""Read all results and say what is missing or damaged: `python scripts/verify.py [FOLDER]`."""

import sys
from pathlib import Path

from decon3d.volumes.verify import verify


def main(folder: str) -> int:
    """Print a line for each damage; return the exit status."""
    results = Path(folder)
    if not results.is_dir():
        print(f"{folder} is not a folder; name the folder of the results", file=sys.stderr)
        return 2
    found = 0
    for error in verify(results):
        found += 1
        print(f"Error: {error}; to have it made again, delete {error.path} and run the workflow")
    print(f"{folder}: {found} damaged file(s)" if found else f"{folder}: undamaged")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:2] or ["results"])))
