"""From `instrument: spinning1_60x` to the optics, camera and channels of a dataset.

The instrument's keys are merged below those of the dataset before validation, so that every
validated dataset has its own optics, camera and PSFs.
"""

import contextlib
import datetime
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from decon3d.errors import ConfigError, UserError, reading
from decon3d.field_types import NAME
from decon3d.settings.duplicates import duplicate_keys
from decon3d.settings.error_messages import did_you_mean, explained
from decon3d.settings.files import table
from decon3d.settings.instruments import Instrument, Objective

FOLDER = "instruments"
"""Folder of the instruments' files, beside a config."""
_ENDINGS = (".yaml", ".yml")


def instrument_files(folders: Iterable[str | Path]) -> dict[str, Path]:
    """List the instruments' files of some folders by the instruments' names; the first one wins.

    Files whose names are not valid names (`field_types.NAME`) are left out.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(Path(folder).glob("*")):
            named = re.match(NAME, path.stem) and path.suffix in _ENDINGS
            if named and path.is_file():
                found.setdefault(path.stem, path)
    return found


def instrument_folders(configs: Iterable[str | Path], clone: str | Path) -> list[Path]:
    """List the folders of instruments' files: beside the configs, then in the clone."""
    beside = [Path(config).parent / FOLDER for config in configs]
    return list(dict.fromkeys([*beside, Path(clone, "config", FOLDER)]))


def read_instrument(path: Path) -> Any:
    """Read an instrument's file; its relative paths then start at the working directory.

    Raises
    ------
    ConfigError
        If the file is not YAML, has a key twice, or holds a wrong value: with all problems.
    UserError
        If the file cannot be read.
    """
    with reading(str(path)):
        value = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    if problems := duplicate_keys(path):
        raise ConfigError(problems)
    value = _with_paths(value, path.parent)
    try:
        Instrument.model_validate(value)
    except ValidationError as error:
        prefix = f"instruments.{path.stem}"
        raise ConfigError(
            [
                f"{path}: {line.removeprefix(prefix).lstrip('.: ')}"
                for line in _explained(path.stem, error)
            ]
        ) from None
    return value


def read_instruments(files: Mapping[str, Path]) -> dict[str, Any]:
    """Read instruments' files, given by the instruments' names.

    Raises
    ------
    ConfigError
        With the problems of all files.
    """
    found: dict[str, Any] = {}
    problems: list[str] = []
    for name, path in files.items():
        try:
            found[name] = read_instrument(path)
        except UserError as error:
            problems += error.problems if isinstance(error, ConfigError) else [str(error)]
    if problems:
        raise ConfigError(problems)
    return found


def with_files(config: Any, folders: Iterable[str | Path]) -> Any:
    """Add the instruments that the datasets name and the config lacks, from their files.

    Parameters
    ----------
    config
        The parsed YAML; not changed.
    folders
        Folders of the files; see `instrument_folders`.

    Raises
    ------
    ConfigError
        With the problems of the files.
    """
    wanted = {
        name
        for dataset in table(table(config).get("datasets")).values()
        if isinstance(name := table(dataset).get("instrument"), str)
    }
    if not wanted:
        return config
    known = table(config.get("instruments"))
    files = {s: path for s, path in instrument_files(folders).items() if s not in known}
    needed = {s: path for s, path in files.items() if any(_may_mean(n, s) for n in wanted)}
    found = read_instruments(needed)
    if not all(any(_may_mean(n, s) for s in [*known, *needed]) for n in wanted):
        # The message about an unknown instrument lists all that can be read.
        for stem in files.keys() - needed:
            with contextlib.suppress(UserError):
                found[stem] = read_instrument(files[stem])
    return {**config, "instruments": {**dict(sorted(found.items())), **known}}


def _may_mean(named: str, instrument: str) -> bool:
    """Return whether a dataset's `instrument` may be this one, with or without an objective."""
    return named == instrument or named.startswith(f"{instrument}_")


def merged(config: dict[str, Any]) -> dict[str, Any]:
    """Merge the keys of each dataset's instrument below those of the dataset.

    Raises
    ------
    ConfigError
        If an instrument is wrong or unknown, or lacks a channel of the dataset.
    """
    raw = config.get("instruments")
    instruments: dict[str, Instrument] = {}
    problems: list[str] = []
    for name, value in table(raw).items():
        try:
            instruments[str(name)] = Instrument.model_validate(value)
        except ValidationError as error:
            problems += _explained(str(name), error)
    if problems:
        raise ConfigError(problems)
    if not isinstance(config.get("datasets"), dict):
        return config
    datasets = {}
    for name, dataset in config["datasets"].items():
        named = table(dataset).get("instrument")
        if isinstance(named, str):
            dataset = _filled(f"datasets.{name}", dataset, named, instruments, problems)
        datasets[name] = dataset
    if problems:
        raise ConfigError(problems)
    return {**config, "datasets": datasets}


def by_name(instruments: Mapping[str, Instrument]) -> dict[str, tuple[str, str]]:
    """List the names of instruments for a dataset, each with the instrument and its objective."""
    found: dict[str, tuple[str, str]] = {}
    for name, instrument in instruments.items():
        for objective in instrument.objectives:
            found[f"{name}_{objective}"] = name, objective
        if len(instrument.objectives) == 1:
            found[name] = name, next(iter(instrument.objectives))
    return found


def chosen(
    instruments: Mapping[str, Instrument], named: str | None
) -> tuple[Instrument, Objective] | None:
    """Return the instrument and objective of a dataset of a valid config.

    Parameters
    ----------
    instruments
        The instruments of the config, by name.
    named
        The dataset's `instrument`; None = it has none, and the result is None.
    """
    if named is None:
        return None
    name, objective = by_name(instruments)[named]
    return instruments[name], instruments[name].objectives[objective]


def _filled(
    key: str,
    dataset: dict[str, Any],
    named: str,
    instruments: Mapping[str, Instrument],
    problems: list[str],
) -> dict[str, Any]:
    known = by_name(instruments)
    if named not in known:
        problems.append(f"{key}.instrument: {_unknown(named, instruments, list(known))}")
        return dataset
    name, of = known[named]
    instrument, objective = instruments[name], instruments[name].objectives[of]
    day = _day_of(dataset)
    result = dict(dataset)
    result["optics"] = _over(_plain(objective.optics), dataset.get("optics"))
    camera = _plain(instrument.camera)
    if frames := instrument.frames_for(day):
        camera |= {key: value for key, value in _plain(frames).items() if key != "date"}
    result["camera"] = _over(camera, dataset.get("camera"))
    if not isinstance(dataset.get("channels"), dict):
        return result
    result["channels"] = {}
    for name, channel in dataset["channels"].items():
        base: dict[str, Any] = {}
        if name in instrument.channels:
            base = _plain(instrument.channels[name])
            if stack := objective.stack_of(name, day):
                base["psf"] = _plain(instrument.psf_of(stack, name))
        elif "emission_um" not in table(channel):
            problems.append(
                f"{key}.channels.{name}: the instrument {named} has no channel {name!r}, only "
                f"{', '.join(instrument.channels)}; use one of these names, or give emission_um"
            )
        result["channels"][name] = _over(base, channel)
    return result


def _unknown(named: str, instruments: Mapping[str, Instrument], known: list[str]) -> str:
    if named in instruments:
        objectives = ", ".join(instruments[named].objectives)
        some = next(iter(instruments[named].objectives))
        return f"{named} has the objectives {objectives}; name one of them, e.g. {named}_{some}"
    if not known:
        return (
            f"unknown instrument {named!r}; no instrument was found; write {FOLDER}/<name>.yaml "
            "beside the config (see config/examples/instruments)"
        )
    listed = ", ".join(sorted(known))
    return f"unknown instrument {named!r}; known: {listed}{did_you_mean(named, known)}"


def _day_of(dataset: dict[str, Any]) -> datetime.date | None:
    """Return a dataset's date; None if it is missing or wrong, which validation reports."""
    value = dataset.get("date")
    if isinstance(value, str):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, datetime.date) else None


def _over(base: dict[str, Any], given: Any) -> Any:
    """Merge given keys over those of the instrument; keep wrong values for the validation."""
    if given is None:
        return base
    return {**base, **given} if isinstance(given, dict) else given


def _plain(section: Any) -> dict[str, Any]:
    values: dict[str, Any] = section.model_dump(mode="json", exclude_unset=True)
    return values


def _explained(name: str, error: ValidationError) -> list[str]:
    errors = error.errors(include_url=False)
    return explained({**e, "loc": ("instruments", name, *e["loc"])} for e in errors)


def _with_paths(value: Any, folder: Path) -> Any:
    """Change an instrument's relative paths from `folder` to the working directory."""
    if isinstance(value, dict):
        return {
            k: _placed(v, folder) if k in _PATHS else _with_paths(v, folder)
            for k, v in value.items()
        }
    return [_with_paths(v, folder) for v in value] if isinstance(value, list) else value


_PATHS = ("path", "dark", "flat")


def _placed(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_placed(v, folder) for v in value]
    if not isinstance(value, str) or value.startswith(("~", "$", "/")) or not value:
        return value
    path = os.path.normpath(folder / value)
    near = os.path.relpath(path)
    return path if near.startswith("..") else near
