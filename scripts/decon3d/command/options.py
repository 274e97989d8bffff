"""Options that several commands share, and the arguments of the library that follow from them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from decon3d.errors import UserError
from decon3d.optics.modalities import MODALITIES

Triple = tuple[float, float, float]
Modality = Annotated[str | None, typer.Option(help=f"Kind of microscope: {', '.join(MODALITIES)}.")]
Aperture = Annotated[
    float | None, typer.Option("--na", help="Numerical aperture of the objective.")
]
Emission = Annotated[
    list[float] | None, typer.Option(help="Emission wavelength in µm, once for each channel.")
]
Excitation = Annotated[
    list[float] | None, typer.Option(help="Excitation wavelength in µm, once for each channel.")
]
Immersion = Annotated[
    float | None,
    typer.Option(help="Refractive index of the immersion: air 1.0, water 1.333, oil 1.515."),
]
SampleIndex = Annotated[
    float | None,
    typer.Option(help="Refractive index of the specimen; by default that of the immersion."),
]
Depth = Annotated[
    float | None, typer.Option(help="Depth of the structures below the coverslip in µm.")
]
Pinhole = Annotated[
    float | None, typer.Option(help="Confocal and STED: diameter of the pinhole in Airy units.")
]
Sheet = Annotated[float | None, typer.Option(help="Light sheet: full width at half maximum in µm.")]
Depletion = Annotated[float | None, typer.Option(help="STED: depletion wavelength in µm.")]
Saturation = Annotated[
    float | None,
    typer.Option(help="STED: intensity of the depletion over the saturation intensity."),
]
VoxelSize = Annotated[
    tuple[float, float, float] | None,
    typer.Option(help="Voxel size Z Y X in µm; by default that of the file."),
]
Bead = Annotated[str | None, typer.Option(help="Measured PSF: image of one bead.")]
Beads = Annotated[str | None, typer.Option(help="Measured PSF: stack of many beads.")]
BeadDiameter = Annotated[
    float | None, typer.Option(help="Diameter of the beads in the stack, in µm.")
]
PsfOptions = Annotated[
    list[str] | None,
    typer.Option("--set", help="Key of a measured PSF, as in the config, e.g. --set pedestal=98."),
]
Method = Annotated[str, typer.Option(help="Kind of method: rl, rltv, rl_roughness, …")]
Options = Annotated[
    list[str] | None,
    typer.Option("--set", help="Key of the method, as in the config, e.g. --set iterations=30."),
]
BundleFolder = Annotated[
    str | None, typer.Option("--bundle", help="Folder of a trained network, instead of a method.")
]
Offset = Annotated[
    float | None,
    typer.Option(
        help="Camera: counts of a dark image; by default estimated, as gain and read noise."
    ),
]
Gain = Annotated[float | None, typer.Option(help="Camera: counts per photon.")]
ReadNoise = Annotated[float | None, typer.Option(help="Camera: read noise in photons.")]
Series = Annotated[
    str | None,
    typer.Option(help="Image to read if the file holds several: its name, or its number from 0."),
]
Axes = Annotated[
    str | None, typer.Option(help="Axes of the file, e.g. ZYX; by default from its metadata.")
]
MemoryGb = Annotated[float | None, typer.Option(help="Memory for a block in GB; 2 by default.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")]
Gpus = Annotated[int, typer.Option(min=0, help="Number of GPUs to use.")]


def given(**values: Any) -> dict[str, Any]:
    """Keep the options that were given: those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def number(text: str | None) -> int | str | None:
    """Return the number that a text is, or the text."""
    return int(text) if text is not None and text.isdecimal() else text


def measured_psf(
    bead: str | None, beads: str | None, diameter: float | None, options: list[str] | None
) -> dict[str, Any] | None:
    """Compose the config's section of a measured PSF; None = theory.

    Parameters
    ----------
    bead, beads
        Paths of an image of one bead, and of a stack of many; at most one of them.
    diameter
        Diameter of the beads, in µm.
    options
        Other keys of the section, each `key=value`.

    Raises
    ------
    UserError
        If both images are given, or keys without an image.
    """
    if bead is not None and beads is not None:
        raise UserError("give one of --bead and --beads")
    if bead is None and beads is None:
        if options or diameter is not None:
            what = f"--set {options[0]}" if options else "--bead-diameter"
            raise UserError(f"{what} applies to a measured PSF only; give --bead or --beads, too")
        return None
    source = {"source": "file", "path": bead} if bead else {"source": "beads", "path": beads}
    return source | given(bead_diameter_um=diameter) | _key_values(options)


def method_section(kind: str, options: list[str] | None, bundle: str | None) -> dict[str, Any]:
    """Compose the config's section of a method.

    Parameters
    ----------
    kind
        Not used with a bundle.
    options
        Keys of the section, each `key=value`.
    bundle
        Folder of a trained network; None = a method of this kind.
    """
    chosen = {"kind": kind} if bundle is None else {"bundle": bundle}
    return {**chosen, **_key_values(options)}


def _key_values(options: list[str] | None) -> dict[str, Any]:
    """Read options `key=value`; values are YAML."""
    import yaml

    found = {}
    for option in options or []:
        key, separator, value = option.partition("=")
        if not separator:
            raise UserError(f"--set {option}: the = is missing; give key=value")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(
                f"--set {option}: the value is not valid YAML; correct it, or put it in quotes"
            ) from None
    return found


def saved_psf(path: str) -> Any:
    """Read a PSF that `decon3d psf` or the workflow wrote.

    Raises
    ------
    UserError
        If there is no such file, or no record beside it.
    """
    if not Path(path).is_file():
        raise UserError(f"--psf: {path} does not exist; make it with `decon3d psf`")
    if not Path(path).with_suffix(".json").is_file():
        raise UserError(
            f"--psf: {path} was not written by `decon3d psf`; make a PSF from it with `decon3d psf "
            f"psf.tif --bead {path} …`"
        )
    from decon3d.optics.psf import load_psf

    return load_psf(path)
