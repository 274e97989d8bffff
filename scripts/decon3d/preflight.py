"""The inputs of a config, and all problems in their headers, before any job."""

import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from decon3d.errors import ConfigError, UserError
from decon3d.pairs.sources import PairSource, list_pairs
from decon3d.paths import INSTRUMENTS
from decon3d.settings import (
    BeadsPsf,
    Dataset,
    FilePsf,
    Settings,
    expand_path,
    list_volumes,
    listed_files,
    previewed_volume,
)
from decon3d.volumes.header_checks import (
    bead_problems,
    differing_voxels,
    pair_problems,
    reference_problems,
    shared_files,
    volume_problems,
)
from decon3d.volumes.headers import CACHE, Header, Source, read_headers
from decon3d.volumes.inputs import VolumeSource, volume_files
from decon3d.volumes.volume import Reading

_RESULT = re.compile(
    r"(\./)?results/(?P<dataset>[^/]+)/"
    r"((finished|restored/[^/]+|models/[^/]+)/(?P<method>[A-Za-z0-9_-]+)(\.|/))?"
)
MOST_ALIKE = 3
"""Files with the same problem that get a line each; more share one line."""

MOST_PROBLEMS = 200
"""Problems of one dataset that are listed; the others are counted."""

Headers = Mapping[Source, Header | UserError]
CLOCK_SECONDS = 60
"""Allowed difference between the clocks of two machines."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of a config's datasets, by the datasets' names."""

    volumes: dict[str, dict[str, VolumeSource]]
    previewed: dict[str, VolumeSource]
    pairs: dict[str, list[PairSource]]


def list_inputs(settings: Settings) -> Inputs:
    """Find all volumes and measured pairs of a config.

    Raises
    ------
    ConfigError
        With the problems of all datasets: names, sheets, specimens.
    """
    problems: list[str] = []
    found = Inputs({}, {}, {})
    for name, dataset in settings.datasets.items():
        try:
            found.volumes[name] = list_volumes(name, dataset)
            found.previewed[name] = previewed_volume(name, dataset, found.volumes[name])
            found.pairs[name] = list_pairs(name, dataset.pairs, seed=settings.seed)
        except ConfigError as error:
            problems += error.problems
        except UserError as error:
            problems.append(f"datasets.{name}: {error}")
    if problems:
        raise ConfigError(problems)
    return found


def check_places(folder: str | Path = ".") -> None:
    """Reject a working directory in which the workflow cannot write its files.

    Raises
    ------
    ConfigError
        With every folder of the workflow that is a file or cannot be written to.
    """
    problems = []
    for name in ("results", "logs", "benchmarks"):
        path = Path(folder, name)
        if os.path.lexists(path) and not path.is_dir():  # a file, or a broken link
            problems.append(f"{path.absolute()} is not a folder; move it away")
        elif not os.access(path if path.exists() else folder, os.W_OK | os.X_OK):
            problems.append(
                f"{path.resolve()} cannot be written to; change its permissions, or choose another "
                "working directory with --directory"
            )
    if problems:
        raise ConfigError(problems)


def check_targets(
    arguments: Iterable[str], settings: Settings, *, instruments: Collection[str] = ()
) -> None:
    """Reject targets on the command line of an unknown dataset or method.

    Also pages of instruments that are not in `instruments`.

    Targets precede the first option; a path after one may be an option's value.

    Raises
    ------
    ConfigError
        With the known names.
    """
    problems = []
    for argument in takewhile(lambda a: not a.startswith("-"), arguments):
        match = _RESULT.match(argument)
        if match is None:
            continue
        if match["dataset"] == INSTRUMENTS:
            page = Path(argument)
            if page.suffix == ".html" and page.stem not in instruments:
                listed = ", ".join(sorted(instruments)) or "none"
                problems.append(f"{argument}: unknown instrument {page.stem!r}; known: {listed}")
            continue
        for what, known in (("dataset", settings.datasets), ("method", settings.methods)):
            name = match[what]
            if name is not None and name not in known:
                some = ", ".join([*known][:10]) + (", …" if len(known) > 10 else "")
                problems.append(f"{argument}: unknown {what} {name!r}; known: {some}")
    if problems:
        raise ConfigError(problems)


def check_headers(
    settings: Settings, inputs: Inputs, *, cache: str | Path = CACHE
) -> dict[Source, Header]:
    """Read the headers of all inputs and compare them with the config.

    Returns
    -------
    dict
        By path and reading: the header of every volume.

    Raises
    ------
    ConfigError
        With every problem of every file, one line each; files with the same problem share one.
    """
    headers = read_headers(_sources(settings, inputs), cache=cache)
    problems = list(_object_problems(settings, headers))
    for name, dataset in settings.datasets.items():
        lines = list(dict.fromkeys(_dataset_problems(name, dataset, inputs, headers)))
        problems += _grouped(lines[:MOST_PROBLEMS], [path for path, _ in headers])
        if len(lines) > MOST_PROBLEMS:
            problems.append(f"datasets.{name}: {len(lines) - MOST_PROBLEMS} more problems")
    paths = [path for path, _ in headers]
    problems += _grouped(list(_future_problems(paths)), paths)
    if problems:
        raise ConfigError(problems)
    return {source: found for source, found in headers.items() if isinstance(found, Header)}


def _future_problems(paths: Iterable[str]) -> Iterator[str]:
    """List inputs dated in the future, which Snakemake considers newer than their results."""
    now = time.time()
    for path in dict.fromkeys(paths):
        for file in filter(os.path.exists, volume_files(path)):
            if os.stat(file).st_mtime > now + CLOCK_SECONDS:
                yield f"{path} has a date in the future; correct the clock, or touch {file}"


def _grouped(lines: list[str], files: list[str]) -> Iterator[str]:
    """Join lines with the same problem of many files."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        # the longest: one path may be the start of another
        file = max((path for path in files if path in line), key=len, default="")
        alike.setdefault(line.replace(file, "…") if file else line, []).append((line, file))
    for group in alike.values():
        if len(group) <= MOST_ALIKE:
            yield from (line for line, _ in group)
            continue
        others = [Path(file).name for _, file in group[1:]]
        more = "" if len(others) <= MOST_ALIKE else ", …"
        yield (
            f"{group[0][0]} (the same holds for {len(others)} more: "
            f"{', '.join(others[:MOST_ALIKE])}{more})"
        )


def _sources(settings: Settings, inputs: Inputs) -> Iterator[Source]:
    """List every file that is read as a volume."""
    for name, dataset in settings.datasets.items():
        if dataset.simulate is None:
            for source in inputs.volumes[name].values():
                yield source.path, Reading.of(dataset)
                if source.reference:
                    yield source.reference, Reading.of(dataset)
        for pair in inputs.pairs[name]:
            yield pair.raw, Reading.of(dataset)
            yield pair.truth, Reading.of(dataset)
        for channel in dataset.channels.values():
            if isinstance(channel.psf, BeadsPsf | FilePsf):
                yield expand_path(channel.psf.path), Reading.of(channel.psf)
    if settings.phantoms:
        for entry in settings.phantoms.objects.values():
            yield expand_path(entry.path), Reading.of(entry)


def _object_problems(settings: Settings, headers: Headers) -> Iterator[str]:
    for name, entry in settings.phantoms.objects.items() if settings.phantoms else ():
        header = headers[expand_path(entry.path), Reading.of(entry)]
        if isinstance(header, UserError):
            yield f"phantoms.objects.{name}.path: {header}"


def _dataset_problems(
    name: str, dataset: Dataset, inputs: Inputs, headers: Headers
) -> Iterator[str]:
    key = f"datasets.{name}"
    channels = {channel: value.index for channel, value in dataset.channels.items()}
    if dataset.simulate is None:
        sources = list(inputs.volumes[name].values())
        yield from _volumes_problems(key, dataset, sources, headers)
        yield from _frame_problems(key, dataset, sources, headers)
    for channel, value in dataset.channels.items():
        yield from _psf_problems(value.psf, f"{key}.channels.{channel}.psf", headers)
    for path in (path for pair in inputs.pairs[name] for path in (pair.raw, pair.truth)):
        header = headers[path, Reading.of(dataset)]
        if isinstance(header, UserError):
            yield f"{key}.pairs: {header}"
            continue
        for index in channels.values():
            yield from pair_problems(
                header,
                channel=index,
                only_channel=len(channels) == 1,
                voxel_size_um=dataset.voxel_size_um,
                key=f"{key}.pairs",
            )


def _volumes_problems(
    key: str, dataset: Dataset, sources: list[VolumeSource], headers: Headers
) -> Iterator[str]:
    channels = {channel: value.index for channel, value in dataset.channels.items()}
    sizes, known = [], []
    for source in sources:
        header = headers[source.path, Reading.of(dataset)]
        if isinstance(header, UserError):
            yield f"{key}.volumes: {header}"
            continue
        known.append(header)
        yield from volume_problems(
            header,
            key=key,
            channels=channels,
            times=dataset.times,
            voxel_size_um=dataset.voxel_size_um,
        )
        if dataset.voxel_size_um is None and header.voxel_size_um is not None:
            sizes.append((header.path, header.voxel_size_um))
        if source.reference is not None:
            reference = headers[source.reference, Reading.of(dataset)]
            if isinstance(reference, UserError):
                yield f"{key}.volumes: the reference {reference}"
            else:
                yield from reference_problems(reference, header, key=f"{key}.volumes")
    yield from differing_voxels(sizes, key=key)
    yield from shared_files(known, key=key)


def _frame_problems(
    key: str, dataset: Dataset, sources: list[VolumeSource], headers: Headers
) -> Iterator[str]:
    """Compare the first file of the camera's dark and of its flat frames with the volumes."""
    if dataset.camera.dark is None:
        return
    planes = {
        source.path: header.shape[3:]
        for source in sources
        if isinstance(header := headers[source.path, Reading.of(dataset)], Header)
    }
    from decon3d.volumes.reader import open_volume  # half a second, and few datasets need it

    for role in ("dark", "flat"):
        for file in listed_files(getattr(dataset.camera, role))[:1]:
            try:
                shape = open_volume(file, stack=False).shape[3:]
            except UserError as error:
                yield f"{key}.camera.{role}: {error}"
                continue
            for path, plane in planes.items():
                if plane != shape:
                    yield (
                        f"{key}.camera.{role}: {file} has {shape[0]} × {shape[1]} pixels (Y, X), "
                        f"but {path} has {plane[0]} × {plane[1]}; give frames of the same region "
                        "of the camera"
                    )


def _psf_problems(psf: object, key: str, headers: Headers) -> Iterator[str]:
    if not isinstance(psf, BeadsPsf | FilePsf):
        return
    header = headers[expand_path(psf.path), Reading.of(psf)]
    if isinstance(header, UserError):
        yield f"{key}.path: {header}"
    else:
        channel = psf.channel if isinstance(psf, BeadsPsf) else None
        yield from bead_problems(header, channel=channel, voxel_size_um=psf.voxel_size_um, key=key)
