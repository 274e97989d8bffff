"""The documents of the project, and the blocks and commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.paths import ROOT

DOCUMENTS = tuple(
    sorted([*ROOT.glob("*.md"), ROOT / "config" / "README.md", *(ROOT / "docs").rglob("*.md")])
)
SEPARATORS = ("&&", "||", ";", "|")
_FENCE = re.compile(r"^```([\w-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?:    \S.*\n)+")


@dataclass(frozen=True)
class Block:
    """A fenced block: its document, language and text."""

    path: Path
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}: {self.text.splitlines()[0][:40]}"


def blocks(language: str) -> list[Block]:
    """All fenced blocks of a language; indented ones count as `sh`."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        fenced = [Block(path, *match.groups()) for match in _FENCE.finditer(text)]
        plain = _FENCE.sub("", text)
        fenced += [Block(path, "sh", match.group()) for match in _INDENTED.finditer(plain)]
        found += [block for block in fenced if block.language == language]
    return found


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a shell script, each as its words, without variables and redirections."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(re.sub(r"(\d?>) +", r"\1", line), comments=True)
        while words:
            ends = [i for i, word in enumerate(words) if word in SEPARATORS]
            end = ends[0] if ends else len(words)
            command, words = words[:end], words[end + 1 :]
            while command and re.fullmatch(r"[A-Z_]+=.*", command[0]):
                command = command[1:]
            command = [word for word in command if not re.match(r"\d?>", word)]
            if command:
                yield command


def spoken(path: Path) -> Iterator[str]:
    """The pieces of code in the sentences and tables of a document."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    for match in re.finditer(r"`([^`]+)`", text):
        yield " ".join(match.group(1).split())
