"""The command `decon3d` and its subcommands.

Heavy imports are in the functions, so that `decon3d --help` is quick.
"""

import math
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from decon3d import __version__
from decon3d.command import options as opt
from decon3d.errors import UserError, needs_traceback
from decon3d.files import full_disk, no_access, write_record, write_text
from decon3d.user_paths import check_output

app = typer.Typer(
    name="decon3d",
    help="Restore 3D fluorescence volumes by deconvolution or networks, and report how well.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
TIFF = (".tif", ".tiff")
LARGEST_GB = (2**32 - 2**25) / 1e9
"""Largest image of an ImageJ TIFF, which has no BigTIFF. Beyond it, tifffile leaves out planes."""
_TO_SNAKEMAKE = {"allow_extra_args": True, "ignore_unknown_options": True}

Config = Annotated[str, typer.Argument(help="Config file; `decon3d init` writes one.")]
Profile = Annotated[
    str, typer.Option(help="Snakemake profile, a path or a name: local, slurm, or your own.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show all messages, instead of a line per stage.")
]


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
    name: Annotated[str, typer.Option(help="Name of the dataset in the results.")] = "data",
    modality: opt.Modality = None,
    na: opt.Aperture = None,
    immersion_index: opt.Immersion = None,
    sample_index: opt.SampleIndex = None,
    depth: opt.Depth = None,
    pinhole: opt.Pinhole = None,
    sheet_thickness: opt.Sheet = None,
    depletion: opt.Depletion = None,
    saturation_factor: opt.Saturation = None,
    emission: opt.Emission = None,
    excitation: opt.Excitation = None,
    voxel_size: opt.VoxelSize = None,
    bead: opt.Bead = None,
    beads: opt.Beads = None,
    bead_diameter: opt.BeadDiameter = None,
    options: opt.PsfOptions = None,
    offset: opt.Offset = None,
    gain: opt.Gain = None,
    read_noise: opt.ReadNoise = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Method, once for each; rl by default.")
    ] = None,
    series: opt.Series = None,
    axes: opt.Axes = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing config.")] = False,
) -> None:
    """Write a config for image files.

    It asks for what the metadata of the files lack.
    """
    from decon3d.command.init import Given, new_config

    given = Given(
        voxel_size_um=voxel_size,
        optics=opt.given(
            modality=modality,
            numerical_aperture=na,
            immersion_index=immersion_index,
            sample_index=sample_index,
            depth_um=depth,
            pinhole_au=pinhole,
            sheet_thickness_um=sheet_thickness,
            sted=opt.given(depletion_um=depletion, saturation_factor=saturation_factor) or None,
        ),
        emission_um=emission or [],
        excitation_um=excitation or [],
        camera=opt.given(offset=offset, gain=gain, read_noise=read_noise),
        methods=method or ["rl"],
        series=opt.number(series),
        axes=axes,
        psf=opt.measured_psf(bead, beads, bead_diameter, options),
    )
    check_output(output, force=force, remedy="give another name with --output, or --force")
    ask = (lambda option, question: str(typer.prompt(question))) if sys.stdin.isatty() else None
    write_text(output, new_config(files, name=name, given=given, ask=ask, path=output))
    print(f"Written: {output}; next: decon3d preview {shlex.quote(str(output))}")


@app.command(context_settings=_TO_SNAKEMAKE)
def run(
    context: typer.Context, config: Config, profile: Profile = "local", verbose: Verbose = False
) -> None:
    """Run the workflow for a config.

    The terminal shows a line for each stage; all messages are in logs/run.log. Ctrl-C stops the
    run; the same command resumes it. Further arguments go to Snakemake: targets, then its options.
    """
    from decon3d.command.launch import run_workflow

    run_workflow(config, profile=profile, arguments=context.args, verbose=verbose)


@app.command(context_settings=_TO_SNAKEMAKE)
def preview(
    context: typer.Context, config: Config, profile: Profile = "local", verbose: Verbose = False
) -> None:
    """Try all methods on a crop; estimate time, memory and disk of the run.

    Further arguments go to Snakemake.
    """
    from decon3d.command.launch import run_workflow
    from decon3d.command.prices import price_lines

    run_workflow(
        config,
        profile=profile,
        arguments=["preview", *context.args],
        verbose=verbose,
        last=price_lines,
    )


@app.command(context_settings=_TO_SNAKEMAKE)
def watch(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder in which files arrive; only read.")],
    config: Annotated[
        Path, typer.Option(help="Config with one dataset; its `volumes` are ignored.")
    ] = Path("config.yaml"),
    settle: Annotated[
        float, typer.Option(help="A file is complete if it has not changed for this time, in s.")
    ] = 30.0,
    every: Annotated[float, typer.Option(help="Time between two looks, in s.")] = 30.0,
    on_failure: Annotated[
        str | None,
        typer.Option(metavar="CMD", help="Shell command; gets a line as $1 and on standard input."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Look once, restore, and end; for cron.")
    ] = False,
    profile: Profile = "local",
) -> None:
    """Restore each file that arrives in a folder, once.

    Every file becomes a dataset with the config's optics and methods. The results are written to
    `results/` in the working directory. Further options go to Snakemake.
    """
    from decon3d.command.watch import watch_folder

    code = watch_folder(
        folder,
        config,
        settle_s=settle,
        every_s=every,
        on_failure=on_failure,
        once=once,
        profile=profile,
        arguments=context.args,
    )
    raise typer.Exit(code)


@app.command()
def psf(
    out: Annotated[
        Path, typer.Argument(help="TIFF to write; its record is written beside it, as .json.")
    ],
    modality: opt.Modality = None,
    na: opt.Aperture = None,
    emission: Annotated[float | None, typer.Option(help="Emission wavelength in µm.")] = None,
    voxel_size: Annotated[
        opt.Triple | None, typer.Option(help="Voxel size Z Y X of the image in µm.")
    ] = None,
    excitation: Annotated[float | None, typer.Option(help="Excitation wavelength in µm.")] = None,
    immersion_index: opt.Immersion = 1.515,
    sample_index: opt.SampleIndex = None,
    depth: opt.Depth = None,
    pinhole: opt.Pinhole = None,
    sheet_thickness: opt.Sheet = None,
    depletion: opt.Depletion = None,
    saturation_factor: opt.Saturation = None,
    bead: opt.Bead = None,
    beads: opt.Beads = None,
    bead_diameter: opt.BeadDiameter = None,
    options: opt.PsfOptions = None,
) -> None:
    """Make a PSF for the voxel size of an image.

    It is computed from the optics, or measured on images of beads (--bead, --beads). The options
    --modality, --na, --emission and --voxel-size are needed.
    """
    check_output(out, endings=TIFF)
    check_output(out.with_suffix(".json"))
    needed = {
        "--modality": modality,
        "--na": na,
        "--emission": emission,
        "--voxel-size": voxel_size,
    }
    if missing := [option for option, value in needed.items() if value is None]:
        raise UserError(f"give {', '.join(missing)}; a PSF needs these options")
    from decon3d.api import make_psf
    from decon3d.optics.psf import description, fwhm_um, write_imagej

    optics = opt.given(
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
        sted=opt.given(depletion_um=depletion, saturation_factor=saturation_factor) or None,
        measured=opt.measured_psf(bead, beads, bead_diameter, options),
    )
    made = make_psf(**optics)
    write_imagej(out, made.data, made.voxel_size_um)
    write_record(out.with_suffix(".json"), description(made))
    widths = ", ".join(f"{w:.3g}" for w in fwhm_um(made.data, made.voxel_size_um))
    print(f"Written: {out}; {made.data.shape} voxels, FWHM {widths} µm (Z, Y, X)")


@app.command()
def deconvolve(
    image: Annotated[str, typer.Argument(help="One volume with one channel.")],
    out: Annotated[Path, typer.Argument(help="TIFF to write (float32, for ImageJ).")],
    psf: Annotated[str, typer.Option(help="PSF that `decon3d psf` wrote.")],
    voxel_size: opt.VoxelSize = None,
    method: opt.Method = "rl",
    options: opt.Options = None,
    bundle: opt.BundleFolder = None,
    offset: opt.Offset = None,
    gain: opt.Gain = None,
    read_noise: opt.ReadNoise = None,
    series: opt.Series = None,
    axes: opt.Axes = None,
    memory_gb: opt.MemoryGb = None,
    threads: opt.Threads = None,
    gpus: opt.Gpus = 0,
) -> None:
    """Deconvolve one volume in memory.

    `decon3d restore` takes files of any size, with several channels and time points.
    """
    check_output(out, endings=TIFF)
    given = opt.saved_psf(psf)
    from decon3d import api
    from decon3d.optics.psf import write_imagej
    from decon3d.volumes.metadata import chosen_voxel_size
    from decon3d.volumes.reader import Reading, open_volume

    volume = open_volume(image, reading=Reading(opt.number(series), axes))
    if volume.shape[:2] != (1, 1):
        raise UserError(
            f"{image} has {volume.shape[0]} time point(s) and {volume.shape[1]} channel(s); use "
            "`decon3d restore`"
        )
    size_gb = math.prod(volume.shape) * 4 / 1e9
    if size_gb > LARGEST_GB:
        raise UserError(
            f"{out}: {size_gb:.1f} GB do not fit into an ImageJ TIFF, which ends at 4 GiB; use "
            f"`decon3d restore {image} {out.stem}.ome.tif`"
        )
    size = chosen_voxel_size(volume, configured=voxel_size, key="--voxel-size")
    restored = api.deconvolve(
        volume.read(0, 0, (slice(None), slice(None), slice(None))),
        psf=given,
        voxel_size_um=size,
        method=opt.method_section(method, options, bundle),
        camera=opt.given(offset=offset, gain=gain, read_noise=read_noise),
        memory_gb=memory_gb,
        threads=threads,
        gpus=gpus,
    )
    write_imagej(out, restored, size)
    print(f"Written: {out}")


@app.command()
def restore(
    path: Annotated[
        str, typer.Argument(help="Volume of any size, with all channels and time points.")
    ],
    out: Annotated[
        Path, typer.Argument(help="OME-Zarr or OME-TIFF to write: name.ome.zarr or name.ome.tif.")
    ],
    psf: Annotated[
        list[str], typer.Option(help="PSF that `decon3d psf` wrote, once for each channel.")
    ],
    voxel_size: opt.VoxelSize = None,
    channel: Annotated[
        list[int] | None,
        typer.Option(help="Channel to restore, from 0, once for each; all by default."),
    ] = None,
    time: Annotated[
        list[int] | None,
        typer.Option(help="Time point to restore, from 0, once for each; all by default."),
    ] = None,
    method: opt.Method = "rl",
    options: opt.Options = None,
    bundle: opt.BundleFolder = None,
    offset: opt.Offset = None,
    gain: opt.Gain = None,
    read_noise: opt.ReadNoise = None,
    series: opt.Series = None,
    axes: opt.Axes = None,
    output_dtype: Annotated[
        str, typer.Option(help="Type of the counts: float32, or input (as the file).")
    ] = "float32",
    memory_gb: opt.MemoryGb = None,
    threads: opt.Threads = None,
    gpus: opt.Gpus = 0,
) -> None:
    """Restore a file of any size, block by block."""
    from decon3d import api

    api.restore(
        path,
        out,
        psf=[opt.saved_psf(one) for one in psf],
        channels=channel or None,
        times=time or None,
        voxel_size_um=voxel_size,
        method=opt.method_section(method, options, bundle),
        camera=opt.given(offset=offset, gain=gain, read_noise=read_noise),
        series=opt.number(series),
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
    """List missing and damaged results."""
    from decon3d.command.launch import verify_results

    verify_results(results)


@app.command()
def doctor(
    write: Annotated[
        str | None, typer.Option(metavar="NAME", help="Write it as profiles/NAME/config.yaml.")
    ] = None,
    tries: Annotated[
        bool, typer.Option("--try", help="Run a tiny job in each of its partitions.")
    ] = False,
) -> None:
    """Suggest a profile for this SLURM cluster.

    Run it on a login node. It asks SLURM's own commands and changes nothing.
    """
    from decon3d.command.doctor import suggest_profile

    suggest_profile(name=write, tries=tries)


@app.command()
def clean(
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also final results: models, restored volumes, tables, pages."),
    ] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Remove the listed files; without it, they are only listed."),
    ] = False,
) -> None:
    """List or remove files that can be made again."""
    from decon3d.command.clean import removable, remove

    found = removable(everything=everything)
    for place in found:
        print(f"{_size(place.size):>9}  {place.path}  ({place.about})")
    total = f"{_size(sum(place.size for place in found))} in {len(found)} places"
    if yes:
        remove(found)
        print(f"Removed: {total}")
    else:
        print(f"{total}; {'remove them with --yes' if found else 'nothing to remove'}")


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
