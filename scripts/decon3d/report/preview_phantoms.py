"""One phantom of each recipe in place of all: what the work on the phantoms of a channel takes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from decon3d.classical.kind import Classical
from decon3d.evaluation.full_reference import evaluate_phantoms
from decon3d.evaluation.map_sensitivity import OF_EACH, evaluate_map_sensitivity
from decon3d.optics.psf import Psf
from decon3d.phantoms.conditions import resolve_conditions
from decon3d.phantoms.stores import SplitName, make_split, members
from decon3d.restoration.arrays import restore_phantoms
from decon3d.restoration.prepare import Preparation
from decon3d.restoration.tuning import tune_on_phantoms
from decon3d.settings import Settings, is_oracle, is_trained, is_tuned
from decon3d.volumes.camera import Camera, CameraRecord


@dataclass(frozen=True)
class FewPhantoms:
    """Some phantoms of a split.

    Attributes
    ----------
    store
        Holds them.
    share
        Number of the phantoms of the split, over the number of these.
    making_s
        Of all phantoms of the split.
    """

    store: Path
    share: float
    making_s: float


@dataclass(frozen=True)
class PhantomTrial:
    """The splits of one channel that the run will make; empty = it needs no phantoms.

    Attributes
    ----------
    channel
        Names of the dataset and the channel.
    """

    channel: tuple[str, str]
    splits: dict[str, FewPhantoms]
    psf: Psf
    camera: Camera
    seed: int
    threads: int

    def search_s(self, method: Classical, path: Path) -> float | None:
        """Search a method's settings on these phantoms; return the time on all of them.

        Parameters
        ----------
        path
            Gets the outcome.

        Returns
        -------
        float or None
            Seconds; None without phantoms.
        """
        few = self.splits.get("test" if is_oracle(method) else "val")
        if few is None:
            return None
        search = partial(
            tune_on_phantoms,
            few.store,
            path=path,
            method=method,
            psf=self.psf,
            camera=self.camera,
            threads=self.threads,
        )
        return few.share * _seconds(search)

    def measuring_s(self, name: str, prepare: Preparation, folder: Path) -> float | None:
        """Restore and measure these phantoms by a method; return the time of all of them.

        Parameters
        ----------
        name
            Of the method.
        folder
            Gets the restored phantoms.
        """
        few = self.splits.get("test")
        if few is None:
            return None
        dataset, channel = self.channel
        stores: dict[str, Any] = {"test_store": few.store, "restored_store": folder}
        named: dict[str, Any] = {"dataset": dataset, "channel": channel, "method": name}
        restore = partial(
            restore_phantoms,
            few.store,
            folder,
            prepare=prepare,
            camera_offset=self.camera.known_offset,
            gpus=0,
            threads=self.threads,
            name=name,
        )
        compare = partial(evaluate_phantoms, **stores, **named)
        plant = partial(
            evaluate_map_sensitivity,
            psf=self.psf,
            camera=self.camera,
            seed=self.seed,
            **stores,
            **named,
        )
        each = _seconds(restore) + _seconds(compare)
        return few.share * each + min(few.share, OF_EACH) * _seconds(plant)


def try_phantoms(
    folder: Path,
    *,
    settings: Settings,
    dataset: str,
    channel: str,
    psf: Psf,
    camera: Camera,
    measured: CameraRecord,
    threads: int,
) -> PhantomTrial:
    """Make one phantom of each recipe of the splits that the run will make.

    Parameters
    ----------
    folder
        Gets the stores.
    psf, camera, measured
        The channel's, as the phantoms of the run get them.
    threads
        Of the CPU; the phantoms of a split are made side by side.
    """
    used, phantoms = settings.datasets[dataset], settings.simulated_pairs
    splits: dict[str, FewPhantoms] = {}
    if phantoms is not None and used.pairs is None:
        conditions = resolve_conditions(phantoms, camera=camera, measured=measured)
        stream: dict[str, Any] = {"seed": settings.seed, "stream": (dataset, channel)}
        for name in _needed(settings):
            split = getattr(phantoms, name)
            few = split.model_copy(update={"count": 1, "doses": None})
            planned, tried = (
                members(one, name=name, photons=conditions.photons, **stream)
                for one in (split, few)
            )
            store = folder / f"{name}.zarr"
            make = partial(
                make_split,
                store,
                split=few,
                name=name,
                phantoms=phantoms,
                psf=psf,
                optics=used.optics,
                channel=used.channels[channel],
                conditions=conditions,
                **stream,
            )
            seconds = _seconds(make)
            share = len(planned) / len(tried)
            splits[name] = FewPhantoms(store, share, seconds * share / threads)
    return PhantomTrial((dataset, channel), splits, psf, camera, settings.seed, threads)


def _needed(settings: Settings) -> list[SplitName]:
    """List the splits that the methods see; every run with phantoms has `test`."""
    methods = settings.methods.values()
    trained = any(is_trained(m) for m in methods)
    tuned = any(
        is_tuned(m) and not is_oracle(m) and getattr(m, "tune_on", None) != "data" for m in methods
    )
    found: list[SplitName] = ["train"] if trained else []
    found += ["val"] if trained or tuned else []
    return [*found, "test"]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
