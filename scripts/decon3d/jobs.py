"""What the jobs of a config read and make: names, paths and the amount of work.

The rules of the workflow ask here for everything that follows from the config, from the list of its
inputs and from their headers. Nothing in this module depends on Snakemake.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from pathlib import Path
from typing import Any

from decon3d import paths
from decon3d.errors import UserError
from decon3d.files import digest, read_json
from decon3d.preflight import Inputs
from decon3d.settings import (
    Dataset,
    Phantoms,
    Settings,
    is_network,
    is_tuned,
    may_use_gpu,
    ready_bundle,
)
from decon3d.settings.methods import is_trained
from decon3d.volumes.fingerprints import fingerprint
from decon3d.volumes.headers import Header, Source
from decon3d.volumes.volume import Reading, Triple

SMALL_MB = 64
"""Largest volume that shares a job with others: a process starts as slowly as it is ingested."""
FEWEST = 8
"""Fewer small volumes have a job each, which run side by side."""
MOST_VOLUMES, MOST_MB = 100, 200
"""Limits of one batch, which is repeated if one of its files changes."""
ONE_IN = 50
"""Of so many volumes, one begins a batch, by a hash of its name. A new volume then changes the
batch that it falls into, and not all those behind it."""


@dataclass(frozen=True)
class Batch:
    """Small volumes of a dataset that one job ingests.

    Attributes
    ----------
    name
        Such as `1_to_50`: the number of the first and last volume among the dataset's small ones.
    dataset, volumes
        Their names.
    source
        The method that restored them; None = the dataset's own volumes.
    """

    name: str
    dataset: str
    volumes: tuple[str, ...]
    source: str | None

    @property
    def rule(self) -> str:
        """Name of its rule; the display reads the number of volumes from it."""
        restored = self.source and f"ingest_restored.{self.dataset}.{self.source}"
        return f"{restored or f'ingest.{self.dataset}'}.{self.name}"

    @property
    def log(self) -> str:
        """Path of its log; no volume has a name with a dot."""
        after = f".after.{self.source}" if self.source else ""
        return f"logs/{self.dataset}/ingest/{self.name}.volumes{after}.log"

    @property
    def records(self) -> list[str]:
        """The records of its volumes."""
        return [paths.ingested(self.dataset, volume, self.source) for volume in self.volumes]


@dataclass(frozen=True, eq=False)
class Jobs:
    """The jobs of a config.

    Parameters
    ----------
    settings
        The config.
    inputs
        Its volumes and measured pairs.
    headers
        The headers of the volumes that are known.
    in_job
        Whether this process runs a job that another process has planned.
    """

    settings: Settings
    inputs: Inputs
    headers: Mapping[Source, Header]
    in_job: bool = False

    def channels(self, dataset: str) -> list[str]:
        """List the channels of a dataset."""
        return list(self.settings.datasets[dataset].channels)

    def volumes(self, dataset: str) -> list[str]:
        """List the volumes of a dataset."""
        return list(self.inputs.volumes[dataset])

    def raw_indices(self, dataset: str) -> dict[str, int]:
        """Return the index of each channel in the raw volumes."""
        return {n: c.index for n, c in self.settings.datasets[dataset].channels.items()}

    def restored_indices(self, dataset: str) -> dict[str, int]:
        """Return the index of each channel in the restored volumes: in the order of the config."""
        return {name: i for i, name in enumerate(self.channels(dataset))}

    def source_indices(self, dataset: str, method: str) -> dict[str, int]:
        """Return the index of each channel in the volumes that a method starts from."""
        raw = self.settings.methods[method].source is None
        return self.raw_indices(dataset) if raw else self.restored_indices(dataset)

    def source_times(self, dataset: str, method: str) -> list[int] | None:
        """Return the times to restore of the volumes that a method starts from; None = all."""
        raw = self.settings.methods[method].source is None
        return self.settings.datasets[dataset].times if raw else None

    def source_records(self, dataset: str, method: str) -> list[str]:
        """List the records of the volumes that a method starts from."""
        source = self.settings.methods[method].source
        return [paths.ingested(dataset, volume, source) for volume in self.volumes(dataset)]

    def source_pairs(self, dataset: str, channel: str, method: str, split: str) -> str:
        """Return the pairs that a method sees: as its `source` restores them, if it has one."""
        source = self.settings.methods[method].source
        return paths.store_marker(paths.phantoms(dataset, channel, split, source))

    def chain(self, method: str) -> list[str]:
        """List a method after its sources; the first one starts from the data."""
        found: list[str] = []
        name: str | None = method
        while name in self.settings.methods:
            found.insert(0, name)
            name = self.settings.methods[name].source
        return found

    def chain_may_use_gpu(self, method: str) -> bool:
        """Return whether a method or one of its sources may use a GPU."""
        return any(may_use_gpu(self.settings.methods[name]) for name in self.chain(method))

    def bundle(self, dataset: str, channel: str, method: str) -> str:
        """Return the folder of a network method's bundle: made before, or trained here."""
        ready = ready_bundle(self.settings.methods[method], channel)
        return ready or paths.model(dataset, channel, method)

    def restorer(self, dataset: str, channel: str, method: str) -> dict[str, str]:
        """Return the files that a restorer is prepared from, besides the channel's statistics."""
        chosen = self.settings.methods[method]
        found = {"psf": paths.psf(dataset, channel)}
        if is_tuned(chosen):
            found["tuning"] = paths.tuning(dataset, channel, method)
        if is_network(chosen):
            found["bundle"] = f"{self.bundle(dataset, channel, method)}/model.json"
        return found

    def restorers(self, dataset: str, method: str) -> dict[str, list[str]]:
        """Return the files and states of a chain of methods, for every channel.

        Keys are <role>_<place in the chain>.
        """
        found: dict[str, list[str]] = {}
        for place, name in enumerate(self.chain(method)):
            for channel in self.channels(dataset):
                files = self.restorer(dataset, channel, name)
                files["state"] = paths.prepared(dataset, channel, name)
                for role, path in files.items():
                    found.setdefault(f"{role}_{place}", []).append(path)
        return found

    @cached_property
    def _made_bundles(self) -> set[str]:
        trained = [name for name, method in self.settings.methods.items() if is_trained(method)]
        return {
            paths.model(dataset, channel, method)
            for dataset in self.settings.datasets
            for channel in self.channels(dataset)
            for method in trained
        }

    def bundles_seen(self, dataset: str, *, channel: str | None, method: str | None) -> str:
        """Return a fingerprint of the bundles from outside that a method and its sources use.

        Parameters
        ----------
        channel, method
            None = all.
        """
        channels = self.channels(dataset) if channel is None else [channel]
        methods = self.settings.methods if method is None else self.chain(method)
        ready = [ready_bundle(self.settings.methods[n], c) for n in methods for c in channels]
        outside = [f for f in ready if f and os.path.normpath(f) not in self._made_bundles]
        return fingerprint(file for folder in outside for file in bundle_files(folder))

    @cached_property
    def probe(self) -> Phantoms:
        """The phantoms whose doses the probes of the evaluation have."""
        return self.settings.simulated_pairs or Phantoms()

    def voxel_size_um(self, dataset: str) -> Triple | None:
        """Return a dataset's voxel size (Z, Y, X) in µm: the config's, or the first volume's.

        The PSF depends on it, not on the file: a new volume with the same voxels changes nothing.
        None if neither the config nor a known header has it.
        """
        chosen = self.settings.datasets[dataset]
        header = self._header(chosen, self.first_volume(dataset))
        return chosen.voxel_size_um or (header.voxel_size_um if header else None)

    def first_volume(self, dataset: str) -> str:
        """Return the path of a dataset's first volume."""
        return next(iter(self.inputs.volumes[dataset].values())).path

    def volume_mb(self, dataset: str, volume: str) -> float:
        """Return a volume's uncompressed size in MB; 0 if unknown."""
        chosen = self.settings.datasets[dataset]
        if chosen.simulate is not None:
            return 2 * self.mvoxels(dataset, volume)
        header = self._header(chosen, self.inputs.volumes[dataset][volume].path)
        return prod(header.shape) * header.itemsize / 1e6 if header else 0

    def batches(self) -> Iterator[Batch]:
        """Iterate over the batches of all datasets, of their own and of restored volumes.

        A volume without a known size is in none of them.
        """
        sources = {m.source: None for m in self.settings.methods.values() if m.source}
        for dataset in self.settings.datasets:
            sizes = {v: self.volume_mb(dataset, v) for v in self.volumes(dataset)}
            small = [volume for volume, mb in sizes.items() if 0 < mb <= SMALL_MB]
            if len(small) < FEWEST:
                continue
            for first, end in _cuts(small, sizes):
                for source in (None, *sources):
                    name = f"{first + 1}_to_{end}"
                    yield Batch(name, dataset, tuple(small[first:end]), source)

    def mvoxels(self, dataset: str, volume: str) -> float:
        """Return the Mvoxel of a volume that are restored; 0 if unknown."""
        chosen = self.settings.datasets[dataset]
        if chosen.simulate is not None:
            return len(chosen.channels) * prod(chosen.simulate[volume].shape) / 1e6
        header = self._header(chosen, self.inputs.volumes[dataset][volume].path)
        if header is None:  # in a job, whose resources the main process has set
            return 0
        times = header.shape[0] if chosen.times is None else len(chosen.times)
        return times * len(chosen.channels) * prod(header.shape[2:]) / 1e6

    def _header(self, dataset: Dataset, path: str) -> Header | None:
        return self.headers.get((path, Reading.of(dataset)))

    @cached_property
    def _totals(self) -> dict[str, float]:
        return {
            dataset: sum(self.mvoxels(dataset, volume) for volume in volumes)
            for dataset, volumes in self.inputs.volumes.items()
        }

    def total_mvoxels(self, dataset: str) -> float:
        """Return the Mvoxel of all volumes of a dataset."""
        return self._totals[dataset]

    def references(self, dataset: str) -> dict[str, str]:
        """Return the references of a dataset's volumes, by the names of the volumes."""
        volumes = self.inputs.volumes[dataset].items()
        return {name: volume.reference for name, volume in volumes if volume.reference}

    def likeness(self, dataset: str) -> list[str]:
        """List the records of the similarity of phantoms and data, if the dataset has phantoms."""
        if self.settings.simulated_pairs is None or self.inputs.pairs[dataset]:
            return []
        return [paths.likeness(dataset, channel) for channel in self.channels(dataset)]

    def records(self, dataset: str) -> Iterator[str]:
        """Iterate over the records of all stages that the page of a dataset reads."""
        channels = self.channels(dataset)
        if self.settings.datasets[dataset].camera.dark:
            yield paths.camera_maps(dataset)
        sources = {m.source: None for m in self.settings.methods.values() if m.source}
        for source in (None, *sources):
            for volume in self.volumes(dataset):
                yield paths.ingested(dataset, volume, source)
            for channel in channels:
                yield paths.statistics(dataset, channel, source)
        for channel in channels:
            yield paths.psf(dataset, channel)
            yield paths.noise(dataset, channel)
            yield paths.psf_fit(dataset, channel)
        for name, method in self.settings.methods.items():
            for channel in channels:
                yield paths.prepared(dataset, channel, name)
                if is_tuned(method):
                    yield paths.tuning(dataset, channel, name)
                if is_trained(method):
                    yield f"{paths.model(dataset, channel, name)}/model.json"
            yield paths.plan(dataset, name)
            yield paths.finished(dataset, name)
            yield paths.consistency_record(dataset, name)
            for kind in ("phantoms", "volumes", "sample", "consistency"):
                yield paths.evaluation(dataset, name, kind)
        for kind in ("phantoms", "volumes", "sample"):
            yield paths.evaluation(dataset, "input", kind)
        yield from self.likeness(dataset)

    @cache  # noqa: B019 (one object per process)
    def parts(self, dataset: str, method: str) -> int:
        """Return into how many parts a restoration is divided: a finished one stays as it is.

        In a job, the plan counts, whose finished marker may be removed already.
        """
        plan = Path(paths.plan(dataset, method))
        found = _plan(plan) if self.in_job else _finished_plan(dataset, method)
        return len(found["bounds"]) - 1 if found else self.settings.restoration.parts

    def block_mb(self) -> int:
        """Return the memory in MB that a job may use for its block."""
        return max(1, round(1000 * self.settings.restoration.memory_gb))

    def forget_plans(self, dataset: str, *, dry_run: bool) -> list[str]:
        """Remove the plans of unfinished restorations that were made for another memory.

        A finished restoration keeps its blocks. The memory is therefore no parameter of a rule.

        Returns
        -------
        list of str
            A line for each plan.
        """
        told = []
        for method in self.settings.methods:
            path = Path(paths.plan(dataset, method))
            made = _plan(path).get("block_mb")
            if made in (None, self.block_mb()) or _finished_plan(dataset, method):
                continue
            told.append(
                f"{path} was made for blocks of {made} MB; restoration.memory_gb allows "
                f"{self.block_mb()} MB now, so the rest of the restoration is planned again"
            )
            if not dry_run:
                path.unlink(missing_ok=True)
        return told


def _cuts(volumes: list[str], sizes: Mapping[str, float]) -> Iterator[tuple[int, int]]:
    """Divide a list of volumes into batches: the first index of each, and the one behind it."""
    first, total = 0, 0.0
    for i, volume in enumerate(volumes):
        total += sizes[volume]
        begins = int(digest(volume), 16) % ONE_IN == 0
        if i > first and (begins or i - first == MOST_VOLUMES or total > MOST_MB):
            yield first, i
            first, total = i, sizes[volume]
    yield first, len(volumes)


def bundle_files(folder: str) -> list[str]:
    """List the files of a bundle."""
    return [f"{folder}/model.json", f"{folder}/model.keras"]


def _plan(path: Path) -> dict[str, Any]:
    """Read a plan; empty if there is none, or if it is damaged, which its reader reports."""
    try:
        return dict(read_json(path))
    except (UserError, OSError, ValueError):
        return {}


def _finished_plan(dataset: str, method: str) -> dict[str, Any]:
    """Read the plan of a finished restoration; empty if it is not finished."""
    plan, finished = Path(paths.plan(dataset, method)), Path(paths.finished(dataset, method))
    try:
        done = finished.stat().st_mtime_ns >= plan.stat().st_mtime_ns
    except OSError:
        return {}
    return _plan(plan) if done else {}
