"""The state of a run: which methods are complete, and which settings were used."""

from pathlib import Path
from typing import Any

from decon3d import paths
from decon3d.errors import UserError
from decon3d.files import digest, file_digest, read_json
from decon3d.report.labels import method_label
from decon3d.settings import Dataset, Settings, list_volumes
from decon3d.settings.decisive import decisive
from decon3d.versions import __version__, installed

Rows = list[tuple[str, str]]
LOG_LINES = 3


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
