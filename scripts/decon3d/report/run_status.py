"""The state of a run: which methods are complete, which settings were used, and all warnings."""

import datetime
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from decon3d import paths
from decon3d.errors import UserError
from decon3d.files import digest, file_digest, read_json
from decon3d.report.contradictions import (
    acquired_on,
    below_the_offset,
    other_pixels,
    out_of_date,
    stated_otherwise,
)
from decon3d.report.labels import method_label
from decon3d.settings import Dataset, Settings, chosen, list_volumes
from decon3d.settings.decisive import decisive
from decon3d.versions import __version__, installed
from decon3d.volumes.checked_stores import open_group

Rows = list[tuple[str, str]]
LOG_LINES = 3
UNVERIFIABLE = 0.01
"""Share of energy outside the pass band from which the page warns; the table lists all."""
SLACK = 1.05
"""Voxels may be coarser than Nyquist's limit by this factor without a warning."""


def stored(path: Path) -> dict[str, Any]:
    """Read an object from a JSON file of this project; empty if there is no file yet."""
    return read_json(path) if path.is_file() else {}


def volume_names(root: Path, *, dataset: str, settings: Settings) -> list[str]:
    """List the dataset's volumes: of the config if its inputs are still there, else as ingested."""
    try:
        return list(list_volumes(dataset, settings.datasets[dataset]))
    except UserError:
        return sorted(path.stem for path in root.glob(paths.ingested(dataset, "*")))


def incomplete_methods(root: Path, *, dataset: str, settings: Settings) -> list[dict[str, Any]]:
    """List the methods of the config that lack a restored volume or their evaluation.

    Returns
    -------
    list of dict
        `method`; `missing`: the missing results; `in_short`: only the number of missing volumes, or
        else what is missing; `logs`: `path` and last lines (`tail`) of the
        newest logs of the method; `folder`: where all logs are.
    """
    used = settings.datasets[dataset]
    volumes = volume_names(root, dataset=dataset, settings=settings)
    kinds = {
        "sample": "measurements on probes and on a sample of the data",
        "consistency": "consistency map",
    }
    if settings.has_pairs(dataset):
        kinds["phantoms"] = f"evaluation on the {'measured pairs' if used.pairs else 'phantoms'}"
    if _has_reference(dataset, used):
        kinds["volumes"] = "evaluation on the volumes with truth"
    found = []
    for method in settings.methods:
        lacking = [
            volume
            for volume in volumes
            if not (root / paths.store_marker(paths.restored(dataset, volume, method))).is_file()
        ]
        missing = [
            what
            for kind, what in kinds.items()
            if not (root / paths.evaluation(dataset, method, kind)).is_file()
        ]
        in_short = ", ".join(missing)
        if lacking:
            some = ", ".join(lacking[:5]) + (" …" if len(lacking) > 5 else "")
            plural = "" if len(volumes) == 1 else "s"
            in_short = f"{len(lacking)} of {len(volumes)} restored volume{plural}"
            missing.insert(0, f"{in_short}: {some}")
        if missing:
            logs = _logs(root, dataset, method)
            folder = f"logs/{dataset}/"
            about = {"missing": missing, "in_short": in_short, "logs": logs, "folder": folder}
            found.append({"method": method, **about})
    return found


def _has_reference(name: str, dataset: Dataset) -> bool:
    try:
        return any(volume.reference for volume in list_volumes(name, dataset).values())
    except UserError:
        return False


def _logs(root: Path, dataset: str, method: str) -> list[dict[str, str]]:
    """Find a method's logs, newest first: files with the method as a part of their path."""
    folder = root / "logs" / dataset
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and any(method in part.split(".") for part in path.relative_to(folder).parts)
    ]
    newest = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)[:5]
    tails = (path.read_text(encoding="utf-8", errors="replace").splitlines() for path in newest)
    return [
        {"path": str(path.relative_to(root)), "tail": "\n".join(lines[-LOG_LINES:])}
        for path, lines in zip(newest, tails, strict=True)
    ]


def effective_settings(root: Path, *, dataset: str, settings: Settings) -> list[dict[str, Any]]:
    """List the settings that each method used, per channel.

    Returns
    -------
    list of dict
        `method`, `channel` and `rows`: the config's values, overridden by what tuning, training
        and preparation chose, and the seam index of the restored volumes.
    """
    found = []
    for name, method in settings.methods.items():
        for channel in settings.datasets[dataset].channels:
            values = flat(method.model_dump(mode="json"))
            tuning = stored(root / paths.tuning(dataset, channel, name))
            model = stored(root / paths.model(dataset, channel, name) / "model.json")
            prepared = stored(root / paths.prepared(dataset, channel, name))
            values |= flat(tuning.get("chosen", {}))
            values |= {
                k: str(model[k]) for k in ("best_step", "seed", "target_kernel") if k in model
            }
            values |= flat({k: model[k] for k in ("training",) if k in model})
            values |= flat(_with_interval(prepared.get("values", {})))
            values |= flat({k: prepared[k] for k in ("halo", "stride") if k in prepared})
            values |= flat(_seams(stored(root / paths.finished(dataset, name))), "seam_index.")
            found.append({"method": name, "channel": channel, "rows": list(values.items())})
    return found


def _with_interval(values: dict[str, Any]) -> dict[str, Any]:
    """Give the background its 95 % interval and its unit; other values stay."""
    if "background_error" not in values:
        return values
    half = 1.96 * values["background_error"]
    background = f"{values['background']:.5g} ± {half:.2g} counts (95 %)"
    return {k: v for k, v in values.items() if k != "background_error"} | {"background": background}


def _seams(finished: dict[str, Any]) -> dict[str, float]:
    """Return the seam index per axis that is farthest from 1 among a method's volumes."""
    found = [volume.get("seam_index", {}) for volume in finished.values()]
    return {
        axis: max((f[axis] for f in found if axis in f), key=lambda value: abs(value - 1))
        for axis in "zyx"
        if any(axis in f for f in found)
    }


def psf_cards(root: Path, *, dataset: str, settings: Settings) -> list[dict[str, Any]]:
    """List the contents of psf.json, per channel: `channel`, `rows`, `warnings`."""
    cards = []
    for channel in settings.datasets[dataset].channels:
        info = stored((root / paths.psf(dataset, channel)).with_suffix(".json"))
        if info:
            warnings = [str(w) for w in info.pop("warnings", [])]
            info.pop("candidates", None)  # single beads: the figure of the beads shows them
            fit = stored(root / paths.psf_fit(dataset, channel))
            if fit.get("verdict") in ("too wide", "too narrow"):
                warnings.append(f"{fit['text']}.")
            rows = list((flat(info) | flat(fit, "fit_to_the_data.")).items())
            cards.append({"channel": channel, "rows": rows, "warnings": warnings})
    return cards


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten nested settings to `a.b: text`; triples stay on one line."""
    rows: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            rows |= flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            rows[name] = ", ".join(_text(v) for v in value)
        else:
            rows[name] = _text(value)
    return rows


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None else str(value)


def pair_rows(root: Path, *, dataset: str, settings: Settings) -> list[dict[str, Any]]:
    """List the registration and matching of each pair, per channel.

    Returns
    -------
    list of dict
        `channel`, `shape` (voxels of a tile, Z, Y, X) and `rows`: the entries of `pairs.json` for
        each pair (see `decon3d.pairs.stores`), ordered by split.
    """
    known = {
        c: stored(root / paths.measured_pairs(dataset, c))
        for c in settings.datasets[dataset].channels
    }
    return [
        {
            "channel": channel,
            "shape": content["shape"],
            "rows": sorted(content["pairs"], key=lambda row: (row["split"], row["specimen"])),
        }
        for channel, content in known.items()
        if content
    ]


def provenance(root: Path, *, dataset: str, settings: Settings) -> Rows:
    """List versions, seed and hashes."""
    rows = [("decon3d", __version__), *installed().items()]
    rows += [("seed", str(settings.seed)), ("config", digest(decisive(settings, dataset)))]
    for channel in settings.datasets[dataset].channels:
        info = stored((root / paths.psf(dataset, channel)).with_suffix(".json"))
        if "fingerprint" in info:
            rows.append((f"PSF of {channel}", str(info["fingerprint"])))
        for method in settings.methods:
            model = stored(root / paths.model(dataset, channel, method) / "model.json")
            if "weights_sha256" in model:
                label = f"weights of {method_label(method)}, {channel}"
                rows.append((label, str(model["weights_sha256"])[:16]))
    for method in settings.methods:
        plan = root / paths.plan(dataset, method)
        if plan.is_file():
            rows.append((f"plan of {method_label(method)}", file_digest(plan)))
    table = root / paths.table(dataset, "metrics.csv")
    if table.is_file():
        rows.append(("metrics.csv", file_digest(table)))
    return rows


def data_warnings(root: Path, *, dataset: str, settings: Settings) -> list[str]:
    """List warnings about the data: sampling, saturation, NaN, clipping, unsuitable networks."""
    found: list[str] = []
    for volume in volume_names(root, dataset=dataset, settings=settings):
        record = stored(root / paths.ingested(dataset, volume))
        if "voxel_size_um" in record:
            found += _sampling(settings.datasets[dataset], record["voxel_size_um"])
        texts = [*record.get("warnings", []), *_contradictions(settings, dataset, record)]
        found += [f"{volume}: {text}." for text in texts]
        found += _counted(
            volume,
            {key: sum(record.get(key, {}).values()) for key in ("saturated", "not_finite")},
            saturated="are saturated; their true brightness is lost, and restored values around "
            "them are too low",
            not_finite="are NaN or infinite; they count as missing",
        )
        found += _fill(volume, record)
        for method in settings.methods:
            store = root / paths.restored(dataset, volume, method)
            if (store / "zarr.json").is_file():
                attributes: Any = open_group(store).attrs.get("decon3d", {})
                found += _counted(
                    f"{volume}, {method_label(method)}",
                    attributes,
                    clipped="were clipped to the range of the output's data type",
                    not_finite="were restored as NaN or infinity and were set to 0",
                )
    for method in settings.methods:
        plan = stored(root / paths.plan(dataset, method))
        for volume, sentences in plan.get("warnings", {}).items():
            found += [f"{volume}, {method_label(method)}: {s}." for s in sentences]
    found += _choices(root, dataset, settings)
    return list(dict.fromkeys([*found, *_unverifiable(root, dataset, settings)]))


def _counted(where: str, counts: dict[str, Any], **words: str) -> list[str]:
    """Report voxels that were counted: one sentence for each number above 0."""
    return [
        f"{where}: {counts[key]:,} voxels {text}." for key, text in words.items() if counts.get(key)
    ]


def _choices(root: Path, dataset: str, settings: Settings) -> list[str]:
    """List assumed cameras, default numbers of iterations, and tunings that ended at a limit."""
    found = []
    used = settings.datasets[dataset]
    for channel in used.channels:
        camera = stored(root / paths.noise(dataset, channel)).get("resolved", {})
        found += [f"{channel}: {text}." for text in camera.get("assumed", [])]
        for method in settings.methods:
            where = f"{channel}, {method_label(method)}"
            values = stored(root / paths.prepared(dataset, channel, method)).get("values", {})
            choice = values.get("choice")
            if choice and not choice["from_data"]:
                found.append(
                    f"{where}: {choice['iterations']} iterations. The number was not chosen from "
                    f"the data, since {choice['reason']}."
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


def _unverifiable(root: Path, dataset: str, settings: Settings) -> list[str]:
    """Warn of methods with at least 1 % of the energy outside the microscope's pass band."""
    shares = {}
    for method in settings.methods:
        volumes = stored(root / paths.consistency_record(dataset, method)).values()
        checks = [check for volume in volumes for check in volume["checks"]]
        known = [c["not_verifiable"] for c in checks if c["not_verifiable"] is not None]
        if known and max(known) >= UNVERIFIABLE:
            shares[method_label(method)] = max(known)
    if not shares:
        return []
    listed = ", ".join(f"{label} {100 * share:.2f} %" for label, share in shares.items())
    return [
        "Share of the restored energy outside the microscope's pass band, which the data cannot "
        f"verify: {listed} (largest share of all volumes)."
    ]


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
    return [
        f"The voxel size {where} is {voxel:.3g} µm; Nyquist sampling needs {limit:.3g} µm. Finer "
        "structure is aliased, which no restoration can correct. If possible, record with smaller "
        "voxels."
        for where, (voxel, limit) in limits.items()
        if voxel > SLACK * limit
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
