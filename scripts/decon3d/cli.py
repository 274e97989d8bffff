"""The command `decon3d`: the way from files to restored volumes, without a line of Python.

Heavy imports are in the functions, so that `decon3d --help` is quick.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from decon3d import __version__
from decon3d.errors import UserError, needs_traceback
from decon3d.files import full_disk, no_access
from decon3d.optics.modalities import MODALITIES
from decon3d.user_paths import check_output

app = typer.Typer(
    name="decon3d",
    help="From a microscope's volumes to restored volumes and a report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_TO_SNAKEMAKE = {"allow_extra_args": True, "ignore_unknown_options": True}

Config = Annotated[str, typer.Argument(help="Config file; `decon3d init` writes one.")]
Profile = Annotated[
    str, typer.Option(help="Snakemake profile, a path or a name: local, slurm, or your own.")
]
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


def _version(wanted: bool) -> None:
    if wanted:
        print(f"decon3d {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


@app.command()
def init(
    files: Annotated[list[str], typer.Argument(help="Volumes that share a microscope.")],
    output: Annotated[Path, typer.Option(help="Config to write.")] = Path("config.yaml"),
    name: Annotated[str, typer.Option(help="Name of the dataset.")] = "data",
    modality: Modality = None,
    na: Aperture = None,
    immersion_index: Immersion = None,
    sample_index: SampleIndex = None,
    depth: Depth = None,
    pinhole: Pinhole = None,
    sheet_thickness: Sheet = None,
    depletion: Depletion = None,
    saturation_factor: Saturation = None,
    emission: Emission = None,
    excitation: Excitation = None,
    voxel_size: VoxelSize = None,
    bead: Bead = None,
    beads: Beads = None,
    bead_diameter: BeadDiameter = None,
    options: PsfOptions = None,
    offset: Offset = None,
    gain: Gain = None,
    read_noise: ReadNoise = None,
    method: Annotated[list[str] | None, typer.Option(help="Methods; rl by default.")] = None,
    series: Series = None,
    axes: Axes = None,
    force: Annotated[bool, typer.Option(help="Write over an existing config.")] = False,
) -> None:
    """Write a config for some files."""
    from decon3d.command.init import Given, new_config, write_config

    given = Given(
        voxel_size_um=voxel_size,
        modality=modality,
        numerical_aperture=na,
        immersion_index=immersion_index,
        sample_index=sample_index,
        depth_um=depth,
        pinhole_au=pinhole,
        sheet_thickness_um=sheet_thickness,
        depletion_um=depletion,
        saturation_factor=saturation_factor,
        emission_um=emission or [],
        excitation_um=excitation or [],
        camera=_given(offset=offset, gain=gain, read_noise=read_noise),
        methods=method or ["rl"],
        series=_number(series),
        axes=axes,
        psf=_measured(bead, beads, bead_diameter, options),
    )
    ask = (lambda option, question: str(typer.prompt(question))) if sys.stdin.isatty() else None
    write_config(
        output, new_config(files, name=name, given=given, ask=ask, path=output), force=force
    )
    print(f"Written: {output}")


@app.command(context_settings=_TO_SNAKEMAKE)
def run(context: typer.Context, config: Config, profile: Profile = "local") -> None:
    """Run the workflow; the rest goes to Snakemake."""
    from decon3d.command.launch import run_workflow

    run_workflow(config, profile=profile, arguments=context.args)


@app.command(context_settings=_TO_SNAKEMAKE)
def preview(context: typer.Context, config: Config, profile: Profile = "local") -> None:
    """Try all methods on a crop, and predict the cost."""
    from decon3d.command.launch import run_workflow

    run_workflow(config, profile=profile, arguments=["preview", *context.args])


@app.command()
def psf(
    out: Annotated[Path, typer.Argument(help="TIFF to write; its record gets the ending .json.")],
    modality: Modality = None,
    na: Aperture = None,
    emission: Annotated[float | None, typer.Option(help="Emission wavelength in µm.")] = None,
    excitation: Annotated[float | None, typer.Option(help="Excitation wavelength in µm.")] = None,
    voxel_size: VoxelSize = None,
    immersion_index: Immersion = None,
    sample_index: SampleIndex = None,
    depth: Depth = None,
    pinhole: Pinhole = None,
    sheet_thickness: Sheet = None,
    depletion: Depletion = None,
    saturation_factor: Saturation = None,
    bead: Bead = None,
    beads: Beads = None,
    bead_diameter: BeadDiameter = None,
    options: PsfOptions = None,
) -> None:
    """Make a PSF on the voxel grid of an image."""
    check_output(out)
    needed = {
        "--modality": modality,
        "--na": na,
        "--emission": emission,
        "--voxel-size": voxel_size,
    }
    if missing := [option for option, value in needed.items() if value is None]:
        raise UserError(f"give {', '.join(missing)}: a PSF follows from these")
    sted = _given(depletion_um=depletion, saturation_factor=saturation_factor)
    optics = _given(
        modality=modality,
        numerical_aperture=na,
        emission_um=emission,
        voxel_size_um=voxel_size,
        excitation_um=excitation,
        immersion_index=immersion_index,
        sample_index=sample_index,
        depth_um=depth,
        pinhole_au=pinhole,
        sheet_thickness_um=sheet_thickness,
        sted=sted or None,
        measured=_measured(bead, beads, bead_diameter, options),
    )
    from decon3d.api import make_psf
    from decon3d.optics.psf import fwhm_um, save_psf

    made = make_psf(**optics)
    save_psf(made, out)
    widths = ", ".join(f"{w:.3g}" for w in fwhm_um(made.data, made.voxel_size_um))
    print(f"Written: {out}; {made.data.shape} voxels, FWHM {widths} µm (Z, Y, X)")


@app.command()
def deconvolve(
    image: Annotated[str, typer.Argument(help="One volume with one channel.")],
    out: Annotated[Path, typer.Argument(help="TIFF to write (float32, ImageJ).")],
    psf: Annotated[str, typer.Option(help="PSF that `decon3d psf` wrote.")],
    voxel_size: VoxelSize = None,
    method: Method = "rl",
    options: Options = None,
    bundle: BundleFolder = None,
    offset: Offset = None,
    gain: Gain = None,
    read_noise: ReadNoise = None,
    series: Series = None,
    axes: Axes = None,
    memory_gb: MemoryGb = None,
    threads: Threads = None,
    gpus: Gpus = 0,
) -> None:
    """Deconvolve one volume that fits into memory."""
    check_output(out)
    given = _psf(psf)
    from decon3d import api
    from decon3d.optics.psf import write_imagej
    from decon3d.volumes.metadata import chosen_voxel_size
    from decon3d.volumes.reader import Reading, open_volume

    volume = open_volume(image, reading=Reading(_number(series), axes))
    if volume.shape[:2] != (1, 1):
        raise UserError(
            f"{image} has {volume.shape[0]} time point(s) and {volume.shape[1]} channel(s); use "
            "`decon3d restore`"
        )
    size = chosen_voxel_size(volume, configured=voxel_size, key="--voxel-size")
    restored = api.deconvolve(
        volume.read(0, 0, (slice(None), slice(None), slice(None))),
        psf=given,
        voxel_size_um=size,
        method=_method(method, options, bundle),
        camera=_given(offset=offset, gain=gain, read_noise=read_noise),
        memory_gb=memory_gb,
        threads=threads,
        gpus=gpus,
    )
    write_imagej(out, restored, size)
    print(f"Written: {out}")


@app.command()
def restore(
    path: Annotated[str, typer.Argument(help="A volume of any size, with all its channels.")],
    out: Annotated[Path, typer.Argument(help="….ome.zarr or ….ome.tif to write.")],
    psf: Annotated[
        list[str], typer.Option(help="PSF that `decon3d psf` wrote, once for each channel.")
    ],
    voxel_size: VoxelSize = None,
    channel: Annotated[
        list[int] | None, typer.Option(help="Channels to restore, from 0; all by default.")
    ] = None,
    time: Annotated[
        list[int] | None, typer.Option(help="Time points to restore, from 0; all by default.")
    ] = None,
    method: Method = "rl",
    options: Options = None,
    bundle: BundleFolder = None,
    offset: Offset = None,
    gain: Gain = None,
    read_noise: ReadNoise = None,
    series: Series = None,
    axes: Axes = None,
    output_dtype: Annotated[str, typer.Option(help="float32, or input.")] = "float32",
    memory_gb: MemoryGb = None,
    threads: Threads = None,
    gpus: Gpus = 0,
) -> None:
    """Restore a file of any size, block by block."""
    from decon3d import api

    api.restore(
        path,
        out,
        psf=[_psf(one) for one in psf],
        channels=channel or None,
        times=time or None,
        voxel_size_um=voxel_size,
        method=_method(method, options, bundle),
        camera=_given(offset=offset, gain=gain, read_noise=read_noise),
        series=_number(series),
        axes=axes,
        output_dtype=output_dtype,
        memory_gb=memory_gb,
        threads=threads,
        gpus=gpus,
    )
    print(f"Written: {out}")


@app.command()
def verify(
    results: Annotated[str, typer.Argument(help="Folder of the results.")] = "results",
) -> None:
    """Name results that are missing or damaged."""
    from decon3d.command.launch import run_script

    run_script("verify.py", [results])


@app.command(context_settings=_TO_SNAKEMAKE)
def doctor(context: typer.Context) -> None:
    """Advise a profile for this SLURM cluster.

    --write NAME writes profiles/NAME/config.yaml, --try runs tiny jobs.
    """
    from decon3d.command.launch import run_script

    run_script("doctor.py", context.args)


@app.command()
def clean(
    everything: Annotated[
        bool, typer.Option("--all", help="Models, restored volumes, tables and pages, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
) -> None:
    """List or remove what can be made again."""
    from decon3d.command.clean import removable, remove

    found = removable(everything=everything)
    for place in found:
        print(f"{_size(place.size):>9}  {place.path}  ({place.about})")
    total = f"{_size(sum(place.size for place in found))} in {len(found)} places"
    if yes:
        remove(found)
        print(f"Removed: {total}")
    else:
        print(f"{total}; --yes removes {'them' if found else 'nothing'}")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _number(text: str | None) -> int | str | None:
    """Return the number that a text is, or the text."""
    return int(text) if text is not None and text.isdecimal() else text


def _measured(
    bead: str | None, beads: str | None, diameter: float | None, options: list[str] | None
) -> dict[str, Any] | None:
    """Compose the section of a measured PSF; None = theory."""
    if bead is not None and beads is not None:
        raise UserError("give one of --bead and --beads")
    if bead is None and beads is None:
        if options or diameter is not None:
            what = f"--set {options[0]}" if options else "--bead-diameter"
            raise UserError(f"{what}: give --bead or --beads, whose key this is")
        return None
    source = {"source": "file", "path": bead} if bead else {"source": "beads", "path": beads}
    return source | _given(bead_diameter_um=diameter) | _options(options)


def _method(kind: str, options: list[str] | None, bundle: str | None) -> dict[str, Any]:
    """Compose a method from its kind or its bundle, and its options."""
    chosen = {"kind": kind} if bundle is None else {"bundle": bundle}
    return {**chosen, **_options(options)}


def _options(options: list[str] | None) -> dict[str, Any]:
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


def _psf(path: str) -> Any:
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


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def main() -> None:
    """Run the command; what the user can mend is one line, without a traceback."""
    try:
        app()
    except (UserError, OSError) as error:
        if needs_traceback(error):
            raise
        sys.exit(f"Error: {full_disk(error, '.') or no_access(error) or error}")
