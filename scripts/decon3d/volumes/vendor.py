"""Microscope makers' own formats as a volume, through bioio if it is installed."""

from decon3d.errors import UserError
from decon3d.volumes.metadata import axes_of, channel_names_of, voxel_in_um
from decon3d.volumes.volume import FROM_FILE, Reading, Volume


def open_vendor(path: str, reason: str, reading: Reading = FROM_FILE) -> Volume:
    """Open one scene of a microscope maker's format through bioio.

    Raises
    ------
    UserError
        If bioio is not installed or cannot read it, or it holds several scenes of which none is
        chosen.
    """
    try:
        import bioio
        from bioio_base.exceptions import UnsupportedFileFormatError
    except ImportError:
        raise UserError(
            f"{path} cannot be read as TIFF: {reason}; for a microscope's own format install "
            "bioio and its reader (`pip install bioio bioio-nd2`, bioio-lif …)"
        ) from None
    try:
        image = bioio.BioImage(path)
    except UnsupportedFileFormatError as error:
        raise UserError(
            f"{path} is not a TIFF, and bioio cannot read it: {error}; install bioio's reader for "
            "this format, or save the volume as OME-TIFF"
        ) from None
    scene = reading.choose(path, [str(name) for name in image.scenes])
    if len(image.scenes) > 1:
        image.set_scene(scene)
    size, problem = voxel_in_um(
        [None if v is None else (v, "µm") for v in image.physical_pixel_sizes]
    )
    interval = image.time_interval
    array = image.dask_data  # T C Z Y X (an RGB picture has S, too)
    axes = axes_of(path, array.shape, image.dims.order, reading.axes)
    return Volume(
        path,
        array,
        axes,
        size,
        channel_names_of(list(image.channel_names or ()), axes, array.shape),
        (),
        interval.total_seconds() if interval else None,
        voxel_size_problem=problem,
    )
