"""Validations on simulated data: error rates of what is measured, chosen and recommended.

`make validate`, or for some of them `make validate VALIDATE="camera iterations"`; `--quick` runs
a few cases of each. `validate_NAME.py` beside this file has `main(quick) -> str`, a Markdown table.
Other options go to the one validation that is named: `VALIDATE="universal --help"`.
"""

import argparse
import importlib
import os
import sys
from itertools import takewhile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the validations that are named, or all, and print their tables."""
    known = sorted(path.stem.removeprefix("validate_") for path in HERE.glob("validate_*.py"))
    parser = argparse.ArgumentParser(description="Validations on simulated data.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="a few cases of each")
    words = sys.argv[1:]
    ours = list(takewhile(lambda word: word[0] != "-" or word == "--quick", words))
    options = words[len(ours) :]
    given = parser.parse_args(ours)
    if len(given.names) != 1:
        parser.parse_args(options)  # help, or an error
    unknown = sorted(set(given.names) - set(known))
    if unknown:
        parser.error(f"unknown validation {unknown[0]!r}; known: {', '.join(known)}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "scripts")]
    for name in given.names or known:
        validation = importlib.import_module(f"validation.validate_{name}")
        if options and not hasattr(validation, "parser"):
            parser.error(f"{name} has no option {options[0]}")
        more = {"arguments": options} if options else {}
        print(f"\n## {name}\n\n{validation.main(quick=given.quick, **more)}", flush=True)


if __name__ == "__main__":
    main()
