"""The measured pairs of a dataset: files, specimens and splits."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from decon3d.errors import ConfigError
from decon3d.pairs.sections import MeasuredPairs
from decon3d.seeds import generator
from decon3d.user_paths import expand_path, path_problem
from decon3d.volumes.inputs import matches, volume_name
from decon3d.volumes.zarr_metadata import is_node

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class PairSource:
    """One pair of files, their specimen and its split."""

    name: str
    raw: str
    truth: str
    specimen: str
    split: str


def list_pairs(name: str, pairs: MeasuredPairs | None, *, seed: int) -> list[PairSource]:
    """Resolve `datasets.<name>.pairs`; empty where there are none.

    Specimens are shuffled by the seed; the first go to `test`, the next to `val`, at least one
    each, the rest to `train`.

    Parameters
    ----------
    name
        The dataset.
    pairs
        Its section of the config; None = it has none.
    seed
        The config's seed, which decides the splits.

    Raises
    ------
    ConfigError
        If raw and truth differ in number, a file's name has no specimen, or there are fewer than
        three specimens.
    """
    if pairs is None:
        return []
    key = f"datasets.{name}.pairs"
    raw, truth = (_files(entries) for entries in (pairs.raw, pairs.truth))
    if len(raw) != len(truth):
        raise ConfigError(
            [
                f"{key}: {len(raw)} raw and {len(truth)} true volumes; give one true volume for "
                "each raw one"
            ]
        )
    odd = [problem for path in raw + truth if (problem := path_problem(path))]
    if odd:
        raise ConfigError([f"{key}: {problem}" for problem in odd])
    both = sorted(set(raw) & set(truth))
    if both:
        raise ConfigError([f"{key}: {both[0]} is both raw and truth; remove it from one of them"])
    specimens = _specimens(raw, pairs, key)
    names = sorted(set(specimens))
    if len(names) < len(SPLITS):
        raise ConfigError(
            [
                f"{key}: only {len(names)} specimen(s) ({', '.join(names)}); give at least "
                "three, since train, val and test need one each"
            ]
        )
    shuffled = generator(seed, "pairs", name).permutation(names).tolist()
    split = dict(zip(shuffled, _turns(len(names), pairs), strict=True))
    return [
        PairSource(volume_name(r), r, t, s, split[s])
        for r, t, s in zip(raw, truth, specimens, strict=True)
    ]


def _turns(count: int, pairs: MeasuredPairs) -> list[str]:
    """Name the split of each of `count` shuffled specimens."""
    test = max(1, round(pairs.test * count))
    val = max(1, min(round(pairs.val * count), count - test - 1))
    test = min(test, count - val - 1)
    return ["test"] * test + ["val"] * val + ["train"] * (count - test - val)


def _files(entries: str | list[str]) -> list[str]:
    """List the volumes that paths, folders and globs name; an OME-Zarr is one volume."""
    found = []
    for entry in [entries] if isinstance(entries, str) else entries:
        path = expand_path(entry)
        if Path(path).is_dir() and not is_node(path):
            inside = (p for p in sorted(Path(path).iterdir()) if not p.name.startswith("."))
            found += [str(p) for p in inside if p.is_file() or is_node(p)]
        else:
            found += matches(path) or [path]
    return found


def _specimens(raw: list[str], pairs: MeasuredPairs, key: str) -> list[str]:
    """Name the specimen of each raw file: by the regular expression, else the file itself."""
    if pairs.specimen is None:
        names = [volume_name(path) for path in raw]
        clashes = defaultdict(list)
        for name, path in zip(names, raw, strict=True):
            clashes[name].append(path)
        return [n if len(clashes[n]) == 1 else p for n, p in zip(names, raw, strict=True)]
    found = [re.search(pairs.specimen, Path(path).name) for path in raw]
    lost = [path for path, match in zip(raw, found, strict=True) if match is None]
    if lost:
        raise ConfigError(
            [f"{key}.specimen: {pairs.specimen!r} does not match {lost[0]}; correct the pattern"]
        )
    return [str(match[1]) for match in found if match is not None]
