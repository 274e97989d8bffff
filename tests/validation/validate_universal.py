"""Is one network for many microscopes better than tuned RLTV on microscopes it has never seen?

Microscopes, objects and seeds are unseen. RL and RLTV are tuned on the truth of the very volumes
that they are scored on: per microscope and dose, λ and iterations both inside the grid, and per
volume. With a wrong PSF, they get the same one. The network is that of
`config/examples/universal.yaml`, or of `--bundle`.

    make validate VALIDATE=universal
    make validate VALIDATE="universal --microscopes 5 --doses 200 --recipes membranes blobs"

Finished cells (a microscope at a dose) are kept in `--folder`: the command resumes, and for other
weights, it does not restore by RL and RLTV again. `--minutes 110` stops after that time with the
tables of what is finished. `--rivals-only` needs no network. `--config-of 3` prints the config that
trains the same network for microscope 3 alone; `--rival own=FOLDER@3` then compares it.
`--config-of tenth` prints that of a training with a tenth of the volumes and of the steps. Its log
gives the PSNR on the validation phantoms: two runs of minutes show that a training is reproduced.
"""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from decon3d.errors import UserError
from decon3d.networks.description import load_info
from validation.universal.cells import DOSES, MICROSCOPES, RECIPES, Cell, Plan
from validation.universal.own_training import a_tenth, config_of
from validation.universal.rivals import kept_network, kept_rivals, network_file, rivals_file
from validation.universal.tables import report

FOLDER = Path("build/validation/universal")
BUNDLE = "results/universal/models/signal/universal"
QUICK = ("--microscopes", "2", "--doses", "200", "--recipes", "tubules", "--groups", "main")


def parser() -> argparse.ArgumentParser:
    """Make the parser of this validation's options."""
    found = argparse.ArgumentParser(prog="universal", description=__doc__.splitlines()[0])
    found.add_argument(
        "--bundle", type=Path, default=Path(os.environ.get("UNIVERSAL", BUNDLE)), help="the network"
    )
    found.add_argument(
        "--rival",
        action="append",
        default=[],
        metavar="NAME=FOLDER[@MICROSCOPE]",
        help="another network, for all microscopes or for the one it was trained for",
    )
    found.add_argument(
        "--config-of",
        choices=("tenth", *map(str, range(MICROSCOPES))),
        metavar="MICROSCOPE",
        help="print the config of the training for one microscope, or of a `tenth` of the size, and "
        "measure nothing",
    )
    found.add_argument("--rivals-only", action="store_true", help="RL and RLTV alone")
    found.add_argument("--microscopes", type=int, default=MICROSCOPES, metavar="N")
    found.add_argument("--doses", type=float, nargs="+", default=DOSES, metavar="PHOTONS")
    found.add_argument(
        "--recipes", nargs="+", default=RECIPES["main"], choices=RECIPES["main"], metavar="NAME"
    )
    found.add_argument("--groups", nargs="+", default=tuple(RECIPES), choices=tuple(RECIPES))
    found.add_argument("--minutes", type=float, help="start no further cell after this time")
    found.add_argument("--folder", type=Path, default=FOLDER, help="where results are kept")
    return found


def rival(text: str) -> tuple[str, Path, int | None]:
    """Split `NAME=FOLDER[@MICROSCOPE]`.

    Raises
    ------
    UserError
        If it is not of this form.
    """
    name, _, rest = text.partition("=")
    folder, _, microscope = rest.partition("@")
    if not name or not folder or (microscope and not microscope.isdecimal()):
        raise UserError(f"--rival: {text!r} is not of the form NAME=FOLDER[@MICROSCOPE]")
    return name, Path(folder), int(microscope) if microscope else None


def measured(
    plan: Plan,
    networks: Sequence[tuple[str, Path, int | None]],
    *,
    minutes: float | None = None,
) -> tuple[pd.DataFrame, int, int]:
    """Measure the cells of a plan; those whose rivals are kept come first.

    Parameters
    ----------
    networks
        Name, folder of the bundle, and the microscope that it is for; None = all.
    minutes
        After this time, take only cells that are kept; None = no limit.

    Returns
    -------
    table, done, planned
        A row per volume and method, and numbers of cells.
    """
    end = time.monotonic() + 60 * (float("inf") if minutes is None else minutes)
    cells = sorted(plan.cells(), key=lambda cell: not rivals_file(cell, plan).exists())
    rows, done = [], 0
    for cell in cells:
        for_it = [(n, folder) for n, folder, only in networks if only in (None, cell.microscope)]
        files = [rivals_file(cell, plan)]
        files += [network_file(cell, plan, folder, n) for n, folder in for_it]
        if time.monotonic() > end and not all(path.exists() for path in files):
            continue
        found = kept_rivals(cell, plan)
        for name, folder in for_it:
            found = found + kept_network(cell, plan, folder, name)
        about = cell.about
        rows += [{**about, **row} for row in found]
        done += 1
        print(f"{done}/{len(cells)} {_name(cell)}", flush=True)
    return pd.DataFrame(rows), done, len(cells)


def _name(cell: Cell) -> str:
    return f"microscope {cell.microscope}, {cell.photons:g} photons, {cell.group}, PSF: {cell.psf}"


def main(quick: bool = False, arguments: Sequence[str] = ()) -> str:
    """Return the tables (Markdown)."""
    given = parser().parse_args([*(QUICK if quick else ()), *arguments])
    if given.config_of is not None:
        config = a_tenth() if given.config_of == "tenth" else config_of(int(given.config_of))
        return f"```yaml\n{config}```"
    networks = [rival(text) for text in given.rival]
    if not given.rivals_only:
        networks = [("network", given.bundle, None), *networks]
    try:
        for _, folder, _ in networks:
            load_info(folder)
    except UserError as error:
        return (
            f"{error}. Run config/examples/universal.yaml, give the folder of a bundle with "
            "--bundle, or use --rivals-only."
        )
    plan = Plan(
        given.folder,
        given.microscopes,
        tuple(given.doses),
        tuple(given.recipes),
        groups=tuple(given.groups),
    )
    table, done, planned = measured(plan, networks, minutes=given.minutes)
    text = report(table, [name for name, *_ in networks if name != "network"]) if done else ""
    if done < planned:
        text += f"\n\n{done} of {planned} cells are finished; the same command goes on."
    return text
