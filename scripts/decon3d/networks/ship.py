"""Make a trained network the one that comes with decon3d: `python -m decon3d.networks.ship BUNDLE`.

The weights stay as they are. The network's file is written without dates: the same weights give
the same file. Its digest is the version of the weights.
"""

import argparse
import json
import sys
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from decon3d.errors import UserError
from decon3d.files import file_digest, replacing, write_json
from decon3d.networks.bundle import load_bundle
from decon3d.networks.description import BundleInfo
from decon3d.networks.registry import NETWORKS
from decon3d.networks.shipped import FOLDER, version_of

MOST_BYTES = 2_000_000
"""Largest size of the network's file."""
UNDATED = (1980, 1, 1, 0, 0, 0)
"""Date of the files in the archive: the earliest that the format can hold."""


def ship(bundle: str | Path, *, into: Path = FOLDER) -> tuple[Path, BundleInfo]:
    """Copy a trained network to where methods of its kind without `training` find it.

    Parameters
    ----------
    bundle
        The folder that the training wrote.
    into
        Gets a folder with the name of the network's kind; its files are replaced.

    Returns
    -------
    Path, BundleInfo
        The new folder and its `model.json`.

    Raises
    ------
    UserError
        If the bundle is damaged, or not one to ship: of a kind that is always trained, trained for
        one microscope, for measured pairs or on restored images, with weights that are not finite,
        or too large.
    """
    model, info = load_bundle(bundle)
    if problem := _problem(info):
        raise UserError(f"{bundle}: {problem}")
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise UserError(f"{bundle}: some weights are not finite; train the network again")
    target = into / info.kind
    with replacing(target / "model.keras", ending=".keras") as temporary:
        _write_undated(Path(bundle) / "model.keras", Path(temporary))
        size = Path(temporary).stat().st_size
        if size > MOST_BYTES:
            raise UserError(
                f"{bundle}: the network has {size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:g} "
                "MB; train one with fewer channels"
            )
    info = replace(info, model_sha256=file_digest(target / "model.keras"))
    write_json(target / "model.json", asdict(info))
    load_bundle(target)
    return target, info


def _problem(info: BundleInfo) -> str:
    """Say why a network is not one to ship; empty if it is."""
    network = NETWORKS.get(info.kind)
    if network is None or network.settings.model_fields["training"].default is not None:
        return f"networks of kind {info.kind} are always trained; ship one of kind rl_residual"
    if info.trained_on.microscopes is None:
        return (
            "the network was trained for one microscope and has no range; train it with "
            "phantoms.train.microscopes"
        )
    if info.target_kernel != "object" or "source" in info.trained_on.made_as:
        return "the network was trained on measured or restored images; train it on phantoms"
    return ""


def _write_undated(source: Path, target: Path) -> None:
    """Copy a network's archive without dates, compressed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in sorted(old.namelist()):
            content = old.read(name)
            if name == "metadata.json":
                known = json.loads(content)
                known.pop("date_saved", None)
                content = json.dumps(known).encode()
            entry = zipfile.ZipInfo(name, UNDATED)
            new.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m decon3d.networks.ship",
        description="Make a trained network the one that comes with decon3d.",
    )
    parser.add_argument("bundle", help="folder with model.keras and model.json")
    try:
        folder, info = ship(parser.parse_args(arguments).bundle)
    except UserError as error:
        sys.exit(f"Error: {error}")
    size = (folder / "model.keras").stat().st_size
    print(f"{folder}: {info.kind}, version {version_of(info.model_sha256)}, {size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
