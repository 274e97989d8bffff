"""Microscope makers' own formats as a volume, through bioio where it is installed."""

from decon3d.errors import UserError
from decon3d.logs import log
from decon3d.volumes.metadata import channel_names_of, check_axes, voxel_size_um_of
from decon3d.volumes.volume import AXES, Volume


def open_vendor(path: str, reason: str) -> Volume:
    """Open the first scene of a microscope maker's format through bioio."""
    try:
        import bioio
        from bioio_base.exceptions import UnsupportedFileFormatError
    except ImportError:
        raise UserError(
            f"{path} is no TIFF that can be read: {reason}. For a microscope's own format install "
            "bioio and its reader (`pip install bioio bioio-nd2`, bioio-lif …)"
        ) from None
    try:
        image = bioio.BioImage(path)
    except UnsupportedFileFormatError as error:
        raise UserError(f"{path} is no TIFF, and bioio cannot read it: {error}") from None
    if len(image.scenes) > 1:
        log.warning("%s holds %d scenes; the first is taken", path, len(image.scenes))
    sizes = [(float(v), "um") if v else None for v in image.physical_pixel_sizes]
    interval = image.time_interval
    array = image.dask_data  # T C Z Y X (an RGB picture has S, too)
    check_axes(path, image.dims.order)
    return Volume(
        path,
        array,
        AXES,
        voxel_size_um_of(path, sizes),
        channel_names_of(list(image.channel_names or ()), AXES, array.shape),
        (),
        interval.total_seconds() if interval else None,
    )
