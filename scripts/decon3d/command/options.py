"""Options that several commands share, and the arguments of the library that follow from them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from decon3d.errors import UserError
from decon3d.optics.modalities import MODALITIES

Modality = Annotated[
    str | None,
    typer.Option(help=f"One of {', '.join(MODALITIES)}."),
]
Aperture = Annotated[float | None, typer.Option("--na", help="Numerical aperture.")]
Emission = Annotated[
    list[float] | None, typer.Option(help="Emission wavelength in µm, once for each channel.")
]
Excitation = Annotated[
    list[float] | None, typer.Option(help="Excitation wavelength in µm, once for each channel.")
]
Immersion = Annotated[float | None, typer.Option(help="Refractive index of the immersion.")]
SampleIndex = Annotated[float | None, typer.Option(help="Refractive index of the specimen.")]
Depth = Annotated[float | None, typer.Option(help="Depth below the coverslip in µm.")]
Pinhole = Annotated[float | None, typer.Option(help="Pinhole in Airy units.")]
Sheet = Annotated[
    float | None, typer.Option(help="Full width at half maximum of the light sheet in µm.")
]
Depletion = Annotated[float | None, typer.Option(help="STED: depletion wavelength in µm.")]
Saturation = Annotated[float | None, typer.Option(help="STED: I_sted / I_sat.")]
VoxelSize = Annotated[
    tuple[float, float, float] | None, typer.Option(help="Voxel size Z Y X in µm.")
]
Bead = Annotated[str | None, typer.Option(help="Image of one bead, instead of theory.")]
Beads = Annotated[str | None, typer.Option(help="Stack of many beads, instead of theory.")]
BeadDiameter = Annotated[float | None, typer.Option(help="Diameter of these beads in µm.")]
PsfOptions = Annotated[
    list[str] | None,
    typer.Option("--set", help="Key of a measured PSF, as in the config: --set pedestal=98."),
]
Method = Annotated[str, typer.Option(help="rl, rltv, rl_roughness, …")]
Options = Annotated[
    list[str] | None,
    typer.Option("--set", help="Key of the method, as in the config: --set iterations=30."),
]
BundleFolder = Annotated[
    str | None, typer.Option("--bundle", help="Folder of a trained network, instead of a method.")
]
Offset = Annotated[float | None, typer.Option(help="Camera: counts of a dark image.")]
Gain = Annotated[float | None, typer.Option(help="Camera: counts per photon.")]
ReadNoise = Annotated[float | None, typer.Option(help="Camera: read noise in photons.")]
Series = Annotated[str | None, typer.Option(help="Image to read from a file of several.")]
Axes = Annotated[str | None, typer.Option(help="Axes of the file, e.g. ZYX.")]
MemoryGb = Annotated[float | None, typer.Option(help="Memory for a block in GB.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; all by default.")]
Gpus = Annotated[int, typer.Option(help="GPUs to use.")]


def given(**values: Any) -> dict[str, Any]:
    """Keep the options that were given: those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def number(text: str | None) -> int | str | None:
    """Return the number that a text is, or the text."""
    return int(text) if text is not None and text.isdecimal() else text


def measured_psf(
    bead: str | None, beads: str | None, diameter: float | None, options: list[str] | None
) -> dict[str, Any] | None:
    """Compose the section of a measured PSF; None = theory."""
    if bead is not None and beads is not None:
        raise UserError("give one of --bead and --beads")
    if bead is None and beads is None:
        if options or diameter is not None:
            what = f"--set {options[0]}" if options else "--bead-diameter"
            raise UserError(f"{what}: give --bead or --beads, too; this is a key of a measured PSF")
        return None
    source = {"source": "file", "path": bead} if bead else {"source": "beads", "path": beads}
    return source | given(bead_diameter_um=diameter) | _key_values(options)


def method_section(kind: str, options: list[str] | None, bundle: str | None) -> dict[str, Any]:
    """Compose a method from its kind or its bundle, and its options."""
    chosen = {"kind": kind} if bundle is None else {"bundle": bundle}
    return {**chosen, **_key_values(options)}


def _key_values(options: list[str] | None) -> dict[str, Any]:
    """Read options `key=value`; values are YAML."""
    import yaml

    found = {}
    for option in options or []:
        key, separator, value = option.partition("=")
        if not separator:
            raise UserError(f"--set {option}: give key=value")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"--set {option}: the value is not YAML") from None
    return found


def saved_psf(path: str) -> Any:
    """Read a PSF that `decon3d psf` or the workflow wrote."""
    if not Path(path).is_file():
        raise UserError(f"--psf: {path} does not exist; make it with `decon3d psf`")
    if not Path(path).with_suffix(".json").is_file():
        raise UserError(
            f"--psf: {path} was not written by `decon3d psf`; make a PSF from it with `decon3d psf "
            f"psf.tif --bead {path} …`"
        )
    from decon3d.optics.psf import load_psf

    return load_psf(path)
