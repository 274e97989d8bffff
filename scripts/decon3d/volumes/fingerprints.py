"""Fingerprints of input files, which change when a file is replaced.

Modification times alone miss a file that is replaced by an older one (`mv`, `cp -p`, rsync). Only
directories and file attributes are read, so that a workflow can ask for each of its inputs.
"""

import codecs
import html
import os
import re
import stat
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import tifffile

from decon3d.errors import UserError
from decon3d.files import digest
from decon3d.volumes.ome_xml import beside
from decon3d.volumes.planes import plane_files

MOST_FILES = 10_000
"""Largest folder in which all files are read."""
SAMPLED = 1_000
"""Number of sampled files in a larger folder; all of its subfolders are read."""
_TIFF = (".tif", ".tiff", ".btf", ".tf8", ".tf2")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OTHERS = re.compile(r"""\b(FileName|MetadataFile)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


def fingerprint(paths: str | Path | Iterable[str | Path]) -> str:
    """Hash the attributes that identify a version of volumes or files.

    Of a file, a folder of planes and a set of OME-TIFFs: size, modification time (ns) and inode of
    every file. Of another folder, such as an OME-Zarr: names, sizes and modification times of its
    files, or where it has more than `MOST_FILES`, their number, the modification times of its
    folders, and `SAMPLED` files spread evenly.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    several = [paths] if isinstance(paths, str | Path) else paths
    return digest([_fingerprint(str(path)) for path in several])


def fresh_fingerprint(path: str | Path) -> str:
    """Return the `fingerprint` of the present state, without a cache."""
    forget_fingerprints()
    return fingerprint(path)


def forget_fingerprints() -> None:
    """Clear the cache of fingerprints."""
    _fingerprint.cache_clear()


def check_unchanged(path: str | Path, seen: str) -> None:
    """Check that a volume still has a fingerprint; an empty fingerprint matches all.

    Raises
    ------
    UserError
        If it has changed.
    """
    if seen and fresh_fingerprint(path) != seen:
        raise UserError(
            f"{path} has changed since this run began to read it; wait until nothing writes to it, "
            "then run the same command again"
        )


@cache
def _fingerprint(path: str) -> str:
    if not os.path.isdir(path):
        return digest([attributes(file) for file in (path, *ome_set(path))])
    if planes := plane_files(path):
        others = sorted(set(ome_set(planes[0])) - set(planes))  # such as a companion file
        return digest([attributes(file) for file in (*planes, *others)])
    return _of_folder(path)


def ome_set(path: str) -> list[str]:
    """List the other files that the OME-XML of a TIFF, or its companion file, names."""
    if not path.lower().endswith(_TIFF):
        return []
    named = _named_files(path)
    for kind, companion in tuple(named):
        named += _named_files(companion) if kind == "MetadataFile" else []
    own = os.path.basename(path)
    return sorted({name for _, name in named if os.path.basename(name) != own})


def _named_files(path: str) -> list[tuple[str, str]]:
    """List the files that a TIFF's OME-XML or a companion file names, each with its attribute."""
    try:
        if path.lower().endswith(_TIFF):
            with tifffile.TiffFile(path) as file:
                text = file.pages.first.description
        else:
            content = Path(path).read_bytes()
            text = content.decode("utf-16" if content[:2] in _UTF16 else "utf-8", "replace")
    except Exception:  # the reader reports any error
        return []
    found = _OTHERS.findall(text) if "OME" in text else []
    return [(kind, beside(path, html.unescape(one or other))) for kind, one, other in found]


def attributes(path: str) -> tuple[str, int, int, int] | None:
    """Return name, size, time and inode of a file; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return os.path.basename(path), size, found.st_mtime_ns, found.st_ino


def _is_new(folder: str, links: set[str]) -> bool:
    """Return whether a folder is new; links may form a circle."""
    if not os.path.islink(folder):
        return True
    target = os.path.realpath(folder)
    new = target not in links
    links.add(target)
    return new


def _of_folder(path: str) -> str:
    folders: list[str] = []
    files: list[str] = []
    links: set[str] = set()
    for folder, below, names in os.walk(path, followlinks=True):
        below[:] = [name for name in sorted(below) if _is_new(os.path.join(folder, name), links)]
        folders.append(folder)
        files += [os.path.join(folder, name) for name in sorted(names)]
    looked_at = files
    if len(files) > MOST_FILES:
        some = [files[i * len(files) // SAMPLED] for i in range(SAMPLED)]
        looked_at = [*folders, *some]
    # No inodes: on some file systems they differ from node to node.
    seen = [
        (os.path.relpath(file, path), *found[1:3])
        for file in looked_at
        if (found := attributes(file)) is not None
    ]
    return digest([len(files), seen])
