"""Start Snakemake with this project's workflow, from any directory."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

import yaml

from decon3d.errors import UserError, reading, reason

USER_PROFILES = ("~/.config/snakemake", "/etc/xdg/snakemake")
"""Folders in which Snakemake looks for profiles, besides the working directory."""
OWN_PROFILES = "profiles"
"""Folder of profiles, in the working directory and in the workflow."""
PACKAGE = Path(__file__).resolve().parents[1]
DEPLOYMENT = ("--sdm", "--software-deployment-method", "--deployment-method", "--deployment")
"""Snakemake's option for conda and Apptainer."""


def workflow_folder() -> Path:
    """Return the folder that holds the Snakefile: inside the installed package, or the clone."""
    return PACKAGE / "_workflow" if is_installed() else PACKAGE.parents[1]


def is_installed() -> bool:
    """Return whether this is the library of a wheel, not of a clone."""
    return (PACKAGE / "_workflow").is_dir()


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a config file; refuse one that Snakemake could not read.

    Raises
    ------
    UserError
        If the file does not exist, is not YAML (or JSON), or does not hold keys.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; check the path, or write it with `decon3d init`")
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the config file in it")
    with reading(str(path)):
        text = path.read_text(encoding="utf-8-sig")
        try:
            found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = f", line {mark.line + 1}" if mark else ""
            raise UserError(f"{path}{where}: {error.problem}; correct the YAML there") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no keys; a config begins with `datasets:`")
    return found


def find_profile(name: str) -> str:
    """Find a Snakemake profile by its path or name.

    Names are looked up in the working directory, in its `profiles`, where Snakemake looks, and in
    the workflow's own profiles.

    Raises
    ------
    UserError
        If there is none.
    """
    own = workflow_folder() / OWN_PROFILES
    users = (Path(folder).expanduser() for folder in USER_PROFILES)
    for folder in (Path(), Path(OWN_PROFILES), *users, own):
        path = folder / name
        if any(path.glob("config*.yaml")):
            return str(path)
    known = ", ".join(sorted(p.parent.name for p in own.glob("*/config.yaml")))
    raise UserError(
        f"--profile: unknown profile {name!r}; give the path of a folder with a config.yaml, or "
        f"one of {known}"
    )


def snakemake_arguments(
    config: str | Path, *, profile: str, arguments: Sequence[str] = ()
) -> list[str]:
    """Return Snakemake's arguments that run the workflow.

    Parameters
    ----------
    config
        The config file.
    profile
        Path or name of a Snakemake profile.
    arguments
        Targets, then options of Snakemake.
    """
    targets = list(takewhile(lambda a: not a.startswith("-"), arguments))
    return [
        *targets,
        *("--snakefile", str(workflow_folder() / "Snakefile")),
        *("--profile", find_profile(profile)),
        *("--configfile", str(config)),
        *arguments[len(targets) :],
    ]


def run_workflow(
    config: str | Path,
    *,
    profile: str,
    arguments: Sequence[str] = (),
    verbose: bool = False,
    last: Callable[[str], Iterable[str]] = lambda config: (),
) -> NoReturn:
    """Run Snakemake, show the run, and end with its exit status.

    With Snakemake's option `--directory`, this process changes into that folder, which holds the
    results and the logs.

    Parameters
    ----------
    config, profile, arguments
        As for `snakemake_arguments`.
    verbose
        Replace this process by Snakemake, which shows all messages.
    last
        Makes the last lines of a run without errors, given the path of the config.

    Raises
    ------
    UserError
        If Snakemake is not installed, the config cannot be read, or the profile is unknown.
    """
    if str(config).startswith("-"):
        raise UserError(f"give the config file before {config}: decon3d run config.yaml {config} …")
    wanted = [a for a in arguments if a.partition("=")[0] in DEPLOYMENT]
    if wanted and is_installed():
        raise UserError(
            f"{wanted[0]}: environments of conda and Apptainer do not hold the installed decon3d; "
            "leave the option out, or run the workflow from a clone"
        )
    read_config(config)
    folder, arguments = _working_directory(arguments)
    if folder is not None:
        config, profile = Path(config).absolute(), os.path.abspath(find_profile(profile))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.chdir(folder)
        except OSError as error:
            raise UserError(f"--directory: {folder}: {reason(error)}; choose another") from None
        print(f"Working directory of this run: {Path.cwd()}", flush=True)
    given = snakemake_arguments(config, profile=profile, arguments=arguments)
    if verbose:
        # -P: nothing in the working directory takes the place of a module.
        os.execv(sys.executable, [sys.executable, "-P", "-m", "snakemake", *given])
    from decon3d.command.supervise import run_shown

    script = workflow_folder() / "scripts" / "run_snakemake.py"
    sys.exit(run_shown(script, given, last=lambda: last(str(config))))


def _working_directory(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Take Snakemake's option `--directory` out of the arguments."""
    kept, folder, rest = [], None, iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name not in ("--directory", "-d"):
            kept.append(argument)
        elif given := value if equals else next(rest, ""):
            folder = Path(given)
        else:
            raise UserError(f"{name}: no folder follows; give {name} FOLDER")
    return folder, kept


def verify_results(folder: str) -> NoReturn:
    """Replace this process by the workflow's script that verifies a folder of results."""
    script = workflow_folder() / "scripts" / "verify.py"
    os.execv(sys.executable, [sys.executable, str(script), folder])
