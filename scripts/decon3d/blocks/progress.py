"""The progress of block-wise work: a JSON line for each finished block.

A line names its output by the output's key and its block by the number within the output. So
finished blocks stay known when other outputs are added, or the work is divided in another way. A
line also holds the checksum of the block's shard: a block whose shard was changed since is done
again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from decon3d.blocks.work import Item, WorkList
from decon3d.files import append_line, read_lines, write_lines


class Progress:
    """The finished blocks of a job, which appends to its own file.

    All `*.progress` files of the folder are read, since another plan may have divided the work
    differently. Lines of outputs that are not in the work list are removed from the job's own file.

    Parameters
    ----------
    path
        The job's own file; its folder is created.
    work
        The work list.
    numbers
        The job's items.
    """

    def __init__(self, path: Path, work: WorkList, numbers: range) -> None:
        self.path = path
        self._work = work
        keys = {output.key for output in work.outputs}
        lines = [line for line in read_lines(path) if line.get("key") in keys]
        write_lines(path, lines)
        self._values = {(x["key"], x["name"]): x["values"] for x in lines if "name" in x}
        self.lines, _ = finished_blocks(path.parent, work, numbers)

    def add(self, item: Item, **values: Any) -> None:
        """Record that an item is done, immediately on disk."""
        key, start = self._work.outputs[item.output].key, self._work.starts[item.output]
        line = {"key": key, "item": item.number - start, **values}
        line["shard"] = self._work.checksum(item)
        self.lines[item.number] = append_line(self.path, line)

    def value(
        self, output: int, name: str, compute: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return a named value (JSON) of an output; compute and record it the first time."""
        key = self._work.outputs[output].key
        if (key, name) not in self._values:
            line = {"key": key, "name": name, "values": compute()}
            self._values[key, name] = append_line(self.path, line)["values"]
        return self._values[key, name]


def finished_blocks(
    folder: Path, work: WorkList, numbers: range
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Find which items are done, by any job of this work list or of an earlier one.

    Only the checksums in the shards are compared with the records; reading the voxels compares
    these.

    Parameters
    ----------
    folder
        Of the progress files.
    numbers
        The items to look for.

    Returns
    -------
    done, problems
        The line of each finished item, and the problem of each other one, by number.
    """
    starts = {o.key: start for o, start in zip(work.outputs, work.starts, strict=False)}
    done: dict[int, dict[str, Any]] = {}
    problems = dict.fromkeys(numbers, "is not recorded as done")
    for path in sorted(folder.glob("*.progress")):
        for line in read_lines(path):
            if "item" not in line or line.get("key") not in starts:
                continue
            number = starts[line["key"]] + line["item"]
            if number not in numbers:
                continue
            problem = _shard_problem(work, work.item(number), line["shard"])
            if problem is None:
                done[number] = line
            else:
                problems[number] = problem
    return done, {number: text for number, text in problems.items() if number not in done}


def _shard_problem(work: WorkList, item: Item, recorded: int) -> str | None:
    """Compare an item's shard with its recorded checksum; None = they match."""
    try:
        found = work.checksum(item)
    except FileNotFoundError:
        return "is missing"
    except ValueError as error:
        return str(error)
    return None if found == recorded else "does not match its progress record"
