"""Parts of the reference that are made from the code: commands, methods, targets of make."""

import re
import subprocess
import sys
from pathlib import Path

from decon3d.settings import KINDS

ROOT = Path(__file__).resolve().parents[1]


def commands() -> str:
    """Describe every command with its arguments and options, in Markdown."""
    docs = ["-m", "typer", "decon3d.cli", "utils", "docs", "--name", "decon3d"]
    made = subprocess.run(
        [sys.executable, *docs],
        cwd=ROOT / "scripts",
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    return made.stdout.partition("\n")[2]  # without the title


def methods() -> str:
    """List the kinds of methods, then their papers, in Markdown."""
    papers = list(dict.fromkeys(paper for kind in KINDS.values() for paper in kind.citations))
    rows = "".join(
        f"| `{name}` | {kind.label} | {kind.text} "
        f"| {', '.join(str(papers.index(paper) + 1) for paper in kind.citations)} |\n"
        for name, kind in KINDS.items()
    )
    listed = "".join(f"{number}. {paper}\n" for number, paper in enumerate(papers, 1))
    return f"| kind | label | what it is | papers |\n|---|---|---|---|\n{rows}\n{listed}"


def targets() -> str:
    """List the targets that `make help` prints, in Markdown."""
    lines = re.findall(r'@echo "(make [\w-]+) +(.+)"', (ROOT / "Makefile").read_text("utf-8"))
    rows = "".join(f"| `{name}` | {text.replace(chr(92), '')} |\n" for name, text in lines)
    return "| target | what it does |\n|---|---|\n" + rows


def write(folder: Path) -> None:
    """Write all parts below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in (commands, methods, targets):
        (folder / f"{part.__name__}.md").write_text(part(), encoding="utf-8")
