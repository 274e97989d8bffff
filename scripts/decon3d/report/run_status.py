"""The state of a run: which methods are complete, which settings were used, and all warnings."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
SLACK = 1.05
"""Voxels may be coarser than Nyquist's limit by this factor without a warning."""


@dataclass(frozen=True)
class Log:
    """A log of a method, with its last lines."""

    path: str
    tail: str


@dataclass(frozen=True)
class Incomplete:
    """A method that lacks results, the missing results, and the logs that may explain why."""

    method: str
    missing: list[str]
    logs: list[Log]
    folder: str


def stored(path: Path) -> dict[str, Any]:
    """Read an object from a JSON file of this project; empty where there is none yet."""
    return read_json(path) if path.is_file() else {}


def volume_names(root: Path, *, dataset: str, settings: Settings) -> list[str]:
    """List the dataset's volumes: of the config if its inputs are still there, else as ingested."""
    try:
        return list(list_volumes(dataset, settings.datasets[dataset]))
    except UserError:
        return sorted(path.stem for path in root.glob(paths.ingested(dataset, "*")))


def incomplete_methods(root: Path, *, dataset: str, settings: Settings) -> list[Incomplete]:
    """List the methods of the config that lack a restored volume or their evaluation."""
    volumes = volume_names(root, dataset=dataset, settings=settings)
    found = []
    for method in settings.methods:
        lacking = [
            volume
            for volume in volumes
            if not (root / paths.store_marker(paths.restored(dataset, volume, method))).is_file()
        ]
        missing = []
        if lacking:
            some = ", ".join(lacking[:5]) + (" …" if len(lacking) > 5 else "")
            missing.append(f"{len(lacking)} of {len(volumes)} restored volume(s): {some}")
        evaluated = (root / paths.evaluation(dataset, method, "phantoms")).is_file()
        if settings.has_pairs(dataset) and not evaluated:
            measured = settings.datasets[dataset].pairs is not None
            missing.append(f"evaluation on the {'measured pairs' if measured else 'phantoms'}")
        compared = (root / paths.evaluation(dataset, method, "volumes")).is_file()
        if _has_reference(dataset, settings) and not compared:
            missing.append("evaluation on the volumes with truth")
        for kind, what in {"sample": "probes", "consistency": "consistency map"}.items():
            if not (root / paths.evaluation(dataset, method, kind)).is_file():
                missing.append(what)
        if missing:
            logs = list(_logs(root, dataset, method))
            found.append(Incomplete(method, missing, logs, f"logs/{dataset}/"))
    return found


def _has_reference(dataset: str, settings: Settings) -> bool:
    try:
        volumes = list_volumes(dataset, settings.datasets[dataset]).values()
    except UserError:
        return False
    return any(volume.reference for volume in volumes)


def _logs(root: Path, dataset: str, method: str) -> Iterator[Log]:
    """Find a method's logs, newest first: files with the method as a part of their path."""
    folder = root / "logs" / dataset
    files = [p for p in folder.rglob("*") if p.is_file() and method in _words(p, folder)]
    for path in sorted(files, key=lambda p: p.stat().st_mtime, reverse=True)[:5]:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        yield Log(str(path.relative_to(root)), "\n".join(lines[-LOG_LINES:]))


def _words(path: Path, folder: Path) -> set[str]:
    return {word for part in path.relative_to(folder).parts for word in part.split(".")}


def effective_settings(root: Path, *, dataset: str, settings: Settings) -> list[dict[str, Any]]:
    """List each method's settings as they took effect, per channel.

    Returns
    -------
    list of dict
        `method`, `channel` and `rows`: the config's values, overridden by what tuning, training
        and preparation settled, and the seam index of the restored volumes.
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
                key: str(model[key])
                for key in ("best_step", "seed", "target_kernel")
                if key in model
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
                warnings.append(str(fit["text"]))
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
        found += [f"{volume}: {text}." for text in record.get("warnings", [])]
        found += [f"{volume}: {text}." for text in _contradictions(settings, dataset, record)]
        for key, words in (
            (
                "saturated",
                "are saturated: their true brightness is lost, and restored values are "
                "too low around them",
            ),
            ("not_finite", "are NaN or infinite; they count as missing"),
        ):
            count = sum(record.get(key, {}).values())
            if count:
                found.append(f"{volume}: {count:,} voxels {words}.")
        found += _fill(volume, record)
        for method in settings.methods:
            store = root / paths.restored(dataset, volume, method)
            if (store / "zarr.json").is_file():
                attributes: Any = open_group(store).attrs.get("decon3d", {})
                for key, words in (
                    ("clipped", "were clipped to the range of the output's type"),
                    ("not_finite", "were restored as NaN or infinity and were set to 0"),
                ):
                    if attributes.get(key):
                        label = f"{volume}, {method_label(method)}"
                        found.append(f"{label}: {attributes[key]:,} voxels {words}.")
    for method in settings.methods:
        for volume, sentences in (
            stored(root / paths.plan(dataset, method)).get("warnings", {}).items()
        ):
            found += [f"{volume}, {method_label(method)}: {s}." for s in sentences]
    found += _assumed(root, dataset, settings)
    found += _nominal(root, dataset, settings)
    found += _cut_short(root, dataset, settings)
    return list(dict.fromkeys([*found, *_unverifiable(root, dataset, settings)]))


def _assumed(root: Path, dataset: str, settings: Settings) -> list[str]:
    """List what was assumed about the camera because neither config nor data give it."""
    found = []
    for channel in settings.datasets[dataset].channels:
        record = stored(root / paths.noise(dataset, channel)).get("resolved", {})
        found += [f"{channel}: {text}." for text in record.get("assumed", [])]
    return found


def _nominal(root: Path, dataset: str, settings: Settings) -> list[str]:
    """List where `iterations: auto` used the default because the data did not allow a choice."""
    found = []
    for method in settings.methods:
        for channel in settings.datasets[dataset].channels:
            values = stored(root / paths.prepared(dataset, channel, method)).get("values", {})
            choice = values.get("choice")
            if choice and not choice["from_data"]:
                found.append(
                    f"{channel}, {method_label(method)}: {choice['iterations']} iterations is the "
                    f"default; the data did not allow a choice, since {choice['reason']}."
                )
    return found


def _cut_short(root: Path, dataset: str, settings: Settings) -> list[str]:
    """List where a tuning ended at a limit, and what may still be gained."""
    found = []
    for method in settings.methods:
        for channel in settings.datasets[dataset].channels:
            record = stored(root / paths.tuning(dataset, channel, method))
            if record.get("ended_by"):
                to_gain = still_to_gain(record, settings.datasets[dataset])
                found.append(
                    f"{channel}, {method_label(method)}: the tuning ended at a limit "
                    f"({record['ended_by']}). {to_gain} Comparisons may understate this method by "
                    "as much."
                )
    return found


def still_to_gain(tuning: dict[str, Any], dataset: Dataset) -> str:
    """Say how much better a longer or wider search might be, by a tuning's record."""
    if tuning["on"] == "data":
        return f"About {tuning['to_gain']:.2g} of the predicted error may still be gained."
    where = "the simulated objects" if dataset.pairs is None else "the measured pairs"
    return f"About {tuning['to_gain']:.2f} dB on {where} may still be gained."


def _contradictions(settings: Settings, dataset: str, record: dict[str, Any]) -> list[str]:
    """List where a volume contradicts the config or its instrument."""
    used = settings.datasets[dataset]
    found = [*stated_otherwise(used, record), *below_the_offset(used, record)]
    if profile := chosen(settings.instruments, used.instrument):
        day = acquired_on(used, record) or datetime.date.today()
        found += other_pixels(profile[1], record) + out_of_date(used, *profile, acquired=day)
    return found


def _unverifiable(root: Path, dataset: str, settings: Settings) -> list[str]:
    """Report each method's share of energy outside the microscope's pass band."""
    shares = {}
    for method in settings.methods:
        volumes = stored(root / paths.consistency_record(dataset, method)).values()
        checks = [check for volume in volumes for check in volume["checks"]]
        known = [c["not_verifiable"] for c in checks if c["not_verifiable"] is not None]
        if known:
            shares[method_label(method)] = max(known)
    if not shares:
        return []
    listed = ", ".join(f"{label} {share:.2%}" for label, share in shares.items())
    return [
        "Share of the restored energy outside the microscope's pass band, which no data can "
        f"verify: {listed} (the largest share over all volumes)."
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
        f"The voxels are {voxel:.3g} µm long {where}; Nyquist sampling needs {limit:.3g} µm. Finer "
        "structure is aliased, and no restoration can undo that. Record with smaller voxels if "
        "you can."
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
                f"{volume}: {share:.1%} of the voxels are fill "
                f"({record['no_data'][channel]:g}) from deskewing, stitching or padding. They are "
                "excluded from all steps and keep their value."
            )
    return found
