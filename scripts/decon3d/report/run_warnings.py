"""Warnings: about the restorations, the data and the sampling; each says what to do."""

import datetime
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from decon3d import paths
from decon3d.report.contradictions import (
    acquired_on,
    below_the_offset,
    other_pixels,
    out_of_date,
    stated_otherwise,
)
from decon3d.report.labels import method_label
from decon3d.report.run_status import stored, volume_names
from decon3d.settings import Dataset, Settings, chosen
from decon3d.volumes.checked_stores import open_group

SLACK = 1.05
"""Voxels may be coarser than Nyquist's limit by this factor without a warning."""


def result_warnings(root: Path, *, dataset: str, settings: Settings) -> list[str]:
    """List warnings about the restorations: clipping, unsuitable networks, iterations."""
    found: list[str] = []
    for method in settings.methods:
        for volume in volume_names(root, dataset=dataset, settings=settings):
            store = root / paths.restored(dataset, volume, method)
            if (store / "zarr.json").is_file():
                attributes: Any = open_group(store).attrs.get("decon3d", {})
                found += _counted(
                    f"{volume}, {method_label(method)}",
                    attributes,
                    clipped="were clipped to the range of the output's data type; set "
                    "`restoration: {output_dtype: float32}`",
                    not_finite="were restored as NaN or infinity and were set to 0; do not "
                    "measure there",
                )
        plan = stored(root / paths.plan(dataset, method))
        for volume, sentences in plan.get("warnings", {}).items():
            found += [f"{volume}, {method_label(method)}: {s}." for s in sentences]
    return found + _choices(root, dataset, settings)


def data_warnings(root: Path, *, dataset: str, settings: Settings) -> list[str]:
    """List warnings about the data: contradictions, saturation, camera; general ones last."""
    found: list[str] = []
    general: list[str] = []
    used = settings.datasets[dataset]
    for volume in volume_names(root, dataset=dataset, settings=settings):
        record = stored(root / paths.ingested(dataset, volume))
        if "voxel_size_um" in record:
            general += _sampling(used, record["voxel_size_um"])
        texts = [*record.get("warnings", []), *_contradictions(settings, dataset, record)]
        found += [f"{volume}: {text}." for text in texts]
        found += _counted(
            volume,
            {key: sum(record.get(key, {}).values()) for key in ("saturated", "not_finite")},
            saturated="are saturated; their true brightness is lost, and restored values around "
            "them are too low; do not measure intensities there",
            not_finite="are NaN or infinite and count as missing; check the file if you do not "
            "expect this",
        )
        general += _fill(volume, record)
    for channel in used.channels:
        camera = stored(root / paths.noise(dataset, channel)).get("resolved", {})
        if assumed := camera.get("assumed", []):
            found.append(
                f"{channel}: {'; '.join(assumed)}. A wrong offset makes dim structure too bright "
                "or too dark. Record frames without light and set `camera: {dark: …}`."
            )
    return list(dict.fromkeys([*found, *general]))


def _counted(where: str, counts: dict[str, Any], **words: str) -> list[str]:
    """Report voxels that were counted: one sentence for each number above 0."""
    return [
        f"{where}: {counts[key]:,} voxels {text}." for key, text in words.items() if counts.get(key)
    ]


def _choices(root: Path, dataset: str, settings: Settings) -> list[str]:
    """List default numbers of iterations, and tunings that ended at a limit."""
    found = []
    used = settings.datasets[dataset]
    for channel in used.channels:
        for method in settings.methods:
            where = f"{channel}, {method_label(method)}"
            values = stored(root / paths.prepared(dataset, channel, method)).get("values", {})
            choice = values.get("choice")
            if choice and not choice["from_data"]:
                found.append(
                    f"{where}: {choice['iterations']} iterations. The number was not chosen from "
                    f"the data, since {choice['reason']}. Compare several numbers with `decon3d "
                    "preview`."
                )
            tuning = stored(root / paths.tuning(dataset, channel, method))
            if tuning.get("ended_by"):
                found.append(
                    f"{where}: the tuning ended at a limit ({tuning['ended_by']}). "
                    f"{still_to_gain(tuning, used)} Comparisons may understate this method by as "
                    "much."
                )
    return found


def still_to_gain(tuning: dict[str, Any], dataset: Dataset) -> str:
    """State how much a longer or wider search might improve, from a tuning's record."""
    if tuning["on"] == "data":
        return f"A longer search may reduce the predicted error by about {tuning['to_gain']:.2g}."
    where = "the simulated objects" if dataset.pairs is None else "the measured pairs"
    return f"A longer search may gain about {tuning['to_gain']:.2f} dB on {where}."


def _contradictions(settings: Settings, dataset: str, record: dict[str, Any]) -> list[str]:
    """List where a volume contradicts the config or its instrument."""
    used = settings.datasets[dataset]
    found = [*stated_otherwise(used, record), *below_the_offset(used, record)]
    if profile := chosen(settings.instruments, used.instrument):
        day = acquired_on(used, record) or datetime.date.today()
        found += other_pixels(profile[1], record) + out_of_date(used, *profile, acquired=day)
    return found


def _sampling(dataset: Dataset, voxel_size_um: Sequence[float]) -> list[str]:
    """Warn about voxels that are coarser than Nyquist's limit.

    Nyquist's limits of detection alone: λ / (4 NA) laterally, and λ / (2 n (1 - cos α)) axially,
    sin α = NA / n (the extent of the widefield transfer function).
    """
    optics = dataset.optics
    emission = min(channel.emission_um for channel in dataset.channels.values())
    index = optics.immersion_index
    cosine = sqrt(max(0.0, 1 - min(optics.numerical_aperture / index, 1.0) ** 2))
    limits = {
        "along Z": (voxel_size_um[0], emission / (2 * index * (1 - cosine))),
        "in the plane": (max(voxel_size_um[1:]), emission / (4 * optics.numerical_aperture)),
    }
    coarse = {where: of for where, of in limits.items() if of[0] > SLACK * of[1]}
    if not coarse:
        return []
    sizes = " and ".join(f"{voxel:.3g} µm {where}" for where, (voxel, _) in coarse.items())
    needed = " and ".join(f"{limit:.3g} µm" for _, limit in coarse.values())
    return [
        f"The voxel size is {sizes}; Nyquist sampling needs {needed}. Finer structure is aliased, "
        "which no restoration can correct. If possible, record with smaller voxels."
    ]


def _fill(volume: str, record: dict[str, Any]) -> list[str]:
    """Report the share of voxels that are fill without data."""
    found = []
    for channel, count in record.get("filled", {}).items():
        if count:
            share = count / (count + sum(record["histograms"][channel]["count"]))
            found.append(
                f"{volume}: {100 * share:.1f} % of the voxels are fill (value "
                f"{record['no_data'][channel]:g}) from deskewing, stitching or padding. They are "
                "excluded from all steps and keep their value."
            )
    return found
