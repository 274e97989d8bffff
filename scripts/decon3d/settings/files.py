"""Paths in the config, and their problems."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from decon3d.errors import UserError
from decon3d.kinds import MethodSection
from decon3d.networks.description import check_bundle
from decon3d.networks.registry import NETWORKS
from decon3d.networks.shipped import SHIPPED, bundle_folder, shipped_bundle
from decon3d.settings.config import Settings
from decon3d.settings.methods import uses_shipped
from decon3d.user_paths import expand_path, path_problem
from decon3d.volumes.inputs import matches

FILES = ("path", "reference", "start_from")
PATTERNS = ("volumes", "raw", "truth", "dark", "flat")
"""Keys of the config that hold paths, and those that may hold patterns."""


def table(value: Any) -> dict[str, Any]:
    """Return a value of a parsed YAML if it holds keys, else an empty section."""
    return value if isinstance(value, dict) else {}


def wrong_networks(settings: Settings) -> list[str]:
    """List the networks whose shipped or initial bundle cannot be read or has another kind."""
    problems = []
    for name, method in settings.methods.items():
        start: str | None
        if uses_shipped(method):
            key, start = f"methods.{name}", SHIPPED
            remedy = "add `training: {}` to train the network, or name a folder with `bundle`"
        else:
            key = f"methods.{name}.training.start_from"
            start = getattr(getattr(method, "training", None), "start_from", None)
            remedy = "name a folder, or remove this key"
        if start is None:
            continue
        folder = bundle_folder(start, kind=method.kind)
        if start == SHIPPED and not os.path.isdir(folder):
            problems.append(
                f"{key}: no weights of {method.kind} come with this version of decon3d; {remedy}"
            )
            continue
        try:
            kind = check_bundle(folder).kind
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
    sections = {key: config.get(key) for key in ("datasets", "methods", "phantoms")}
    found = [(place, _problem(path, pattern)) for place, path, pattern in _files_of(sections)]
    problems = [f"{place}: {problem}" for place, problem in found if problem]
    return problems + _bundle_problems(table(sections["methods"]), table(sections["datasets"]))


def _files_of(value: Any, place: str = "", key: str = "") -> Iterator[tuple[str, str, bool]]:
    """Find the paths below a key: place and text of each, and whether it may be a pattern."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _files_of(inner, f"{place}.{name}" if place else str(name), str(name))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _files_of(inner, f"{place}[{i}]", key)
    elif (key, value) == ("start_from", SHIPPED):
        return
    elif isinstance(value, str) and key in (*FILES, *PATTERNS):
        yield place, value, key in PATTERNS


def _problem(path: str, pattern: bool) -> str:
    """Describe why a path cannot be used; empty if it can."""
    try:
        expanded = expand_path(path)
    except UserError as error:
        return str(error)
    if problem := path_problem(expanded):
        return problem
    if os.path.exists(expanded):
        return ""
    if pattern and glob.has_magic(expanded):
        return "" if matches(expanded) else f"no file matches {expanded}; check the pattern"
    return f"{expanded or repr(path)} does not exist; check the path"


def ready_bundle(method: MethodSection, channel: str) -> str | None:
    """Return the folder of the bundle that a method restores a channel with, without a training.

    The bundle is named in the config, or comes with decon3d. None = the method is trained, or is
    not a network.
    """
    if uses_shipped(method):
        return str(shipped_bundle(method.kind))
    named = getattr(method, "bundle", None)
    return named and _bundle_path(named, channel)


def _bundle_path(bundle: str, channel: str) -> str:
    """Return the folder that `methods.<name>.bundle` names for a channel."""
    return expand_path(bundle.replace("{channel}", channel))


def _bundle_problems(methods: dict[str, Any], datasets: dict[str, Any]) -> list[str]:
    """Check the bundles of the config and read their descriptions."""
    channels = {
        str(c) for dataset in datasets.values() for c in table(table(dataset).get("channels"))
    }
    problems = []
    for name, method in methods.items():
        bundle = table(method).get("bundle")
        if not isinstance(bundle, str):
            continue
        for channel in sorted(channels) or [""]:
            try:
                folder = Path(_bundle_path(bundle, channel))
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
