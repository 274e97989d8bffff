"""Paths in the config, and their problems."""

import glob
import os
from pathlib import Path
from typing import Any

from decon3d.errors import UserError
from decon3d.networks.description import check_bundle
from decon3d.networks.registry import NETWORKS
from decon3d.settings.config import Settings
from decon3d.user_paths import expand_path, path_problem
from decon3d.volumes.inputs import matches


def wrong_starts(settings: Settings) -> list[str]:
    """List the trainings whose initial bundle cannot be read or has another kind."""
    problems = []
    for name, method in settings.methods.items():
        start = getattr(getattr(method, "training", None), "start_from", None)
        if start is None:
            continue
        key = f"methods.{name}.training.start_from"
        try:
            kind = check_bundle(expand_path(start)).kind
        except UserError as error:
            problems.append(f"{key}: {error}")
            continue
        if kind != method.kind:
            problems.append(
                f"{key}: {start} holds a network of kind {kind}, not {method.kind}; give a bundle "
                f"of kind {method.kind}"
            )
    return problems


def missing_files(config: dict[str, Any]) -> list[str]:
    """List the missing files of a config, even if it has other problems."""
    problems = []

    def check(key: str, path: Any, *, pattern: bool = False) -> None:
        if not isinstance(path, str):
            return
        try:
            expanded = expand_path(path)
        except UserError as error:
            problems.append(f"{key}: {error}")
            return
        if problem := path_problem(expanded):
            problems.append(f"{key}: {problem}")
        if os.path.exists(expanded):
            return
        if pattern and glob.has_magic(expanded):
            if not matches(expanded):
                problems.append(f"{key}: no file matches {expanded}; check the pattern")
        else:
            problems.append(f"{key}: {expanded or repr(path)} does not exist; check the path")

    def table(value: Any) -> dict[str, Any]:
        return value if isinstance(value, dict) else {}

    for name, dataset in table(config.get("datasets")).items():
        dataset = table(dataset)
        key = f"datasets.{name}"
        volumes = dataset.get("volumes")
        for i, entry in enumerate(volumes if isinstance(volumes, list) else [volumes]):
            at = f"{key}.volumes[{i}]" if isinstance(volumes, list) else f"{key}.volumes"
            if isinstance(entry, dict):
                check(f"{at}.path", entry.get("path"))
                check(f"{at}.reference", entry.get("reference"))
            else:
                check(at, entry, pattern=True)
        for channel, value in table(dataset.get("channels")).items():
            check(f"{key}.channels.{channel}.psf.path", table(table(value).get("psf")).get("path"))
        for section, roles in (("camera", ("dark", "flat")), ("pairs", ("raw", "truth"))):
            for role in roles:
                entries = table(dataset.get(section)).get(role)
                for entry in entries if isinstance(entries, list) else [entries]:
                    check(f"{key}.{section}.{role}", entry, pattern=True)
    problems += _bundle_problems(table(config.get("methods")), table(config.get("datasets")))
    for name, method in table(config.get("methods")).items():
        start = table(table(method).get("training")).get("start_from")
        check(f"methods.{name}.training.start_from", start)
    for name, entry in table(table(config.get("phantoms")).get("objects")).items():
        check(f"phantoms.objects.{name}.path", table(entry).get("path"))
    return problems


def bundle_path(bundle: str, channel: str) -> str:
    """Return the folder that `methods.<name>.bundle` names for a channel."""
    return expand_path(bundle.replace("{channel}", channel))


def _bundle_problems(methods: dict[str, Any], datasets: dict[str, Any]) -> list[str]:
    """Check the bundles of the config and read their descriptions."""
    channels = {
        str(channel)
        for dataset in datasets.values()
        if isinstance(dataset, dict) and isinstance(dataset.get("channels"), dict)
        for channel in dataset["channels"]
    }
    problems = []
    for name, method in methods.items():
        bundle = method.get("bundle") if isinstance(method, dict) else None
        if not isinstance(bundle, str):
            continue
        for channel in sorted(channels) or [""]:
            try:
                folder = Path(bundle_path(bundle, channel))
                if problem := path_problem(str(folder)):
                    raise UserError(problem)
                if not folder.is_dir():
                    raise UserError(f"the folder {folder} does not exist; check the path")
                kind = check_bundle(folder).kind
                if kind not in NETWORKS:
                    raise UserError(
                        f"{folder} holds a network of unknown kind {kind!r}; known: "
                        f"{', '.join(NETWORKS)}"
                    )
            except UserError as error:
                problems.append(f"methods.{name}.bundle: {error}")
    return list(dict.fromkeys(problems))
