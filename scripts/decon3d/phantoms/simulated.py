"""Simulated volumes with their truth, all channels, as files like a microscope's."""

import hashlib
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from decon3d.files import replacing
from decon3d.optics.psf import Psf
from decon3d.phantoms.grids import VoxelSize
from decon3d.phantoms.imaging import SimulatedCamera, simulate
from decon3d.phantoms.sections import Simulation
from decon3d.seeds import generator
from decon3d.volumes.camera import Camera

FILE_BITS = 16


def simulate_volume(
    *,
    image_path: str | Path,
    truth_path: str | Path,
    simulation: Simulation,
    psfs: dict[str, Psf],
    camera: Camera,
    seed: int,
    dataset: str,
    volume: str,
) -> None:
    """Make a volume and its truth and write both as OME-TIFF, atomically.

    Parameters
    ----------
    image_path, truth_path
        Files, `.ome.tif`: uint16 counts, and the float32 object in counts (T, C, Z, Y, X).
    simulation, psfs, camera, seed, dataset, volume
        See `draw_volume`.

    Raises
    ------
    UserError
        If an image would be dark.
    """
    image, truth = draw_volume(
        simulation=simulation, psfs=psfs, camera=camera, seed=seed, dataset=dataset, volume=volume
    )
    voxel_size_um = next(iter(psfs.values())).voxel_size_um
    _write(Path(image_path), image, voxel_size_um, list(psfs))
    _write(Path(truth_path), truth, voxel_size_um, list(psfs))


def draw_volume(
    *,
    simulation: Simulation,
    psfs: dict[str, Psf],
    camera: Camera,
    seed: int,
    dataset: str,
    volume: str,
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Make a volume and its truth.

    Parameters
    ----------
    simulation
        Shape, recipe and doses.
    psfs
        By channel, in the order of the channel axis; they give the voxel size.
    camera
        That takes the images.
    seed, dataset, volume
        Name the random streams, together with the channel: every channel has its own object.

    Returns
    -------
    image
        (1, C, Z, Y, X) uint16: counts, rounded and clipped to the camera's range (16 bits by
        default).
    truth
        (1, C, Z, Y, X) float32: the object in counts, not rounded.

    Raises
    ------
    UserError
        If an image would be dark, or too bright for the camera.
    """
    device = SimulatedCamera.of(camera)
    device = replace(device, bits=device.bits or FILE_BITS)
    device.check_range(simulation.photons + simulation.background_photons)
    exposures = [
        simulate(
            simulation.recipe,
            shape=simulation.shape,
            psf=psf.data,
            voxel_size_um=psf.voxel_size_um,
            photons=simulation.photons,
            background_photons=simulation.background_photons,
            camera=device,
            rng=generator(seed, "simulated", dataset, volume, channel),
        )
        for channel, psf in psfs.items()
    ]
    image = np.stack([exposure.images[0] for exposure in exposures])[None]
    truth = np.stack([exposure.object for exposure in exposures])[None]
    return image.astype(np.uint16), truth


def _write(
    path: Path, data: NDArray[np.generic], voxel_size_um: VoxelSize, channels: list[str]
) -> None:
    """Write (T, C, Z, Y, X) with its voxel size (Z, Y, X) and channel names."""
    metadata: dict[str, object] = {
        "axes": "TCZYX",
        "Channel": {"Name": channels},
        # A random UUID would give the same volume another file hash in every run.
        "UUID": str(uuid.UUID(bytes=hashlib.sha256(data.tobytes()).digest()[:16])),
    }
    for axis, size in zip("ZYX", voxel_size_um, strict=True):
        metadata[f"PhysicalSize{axis}"] = size
        metadata[f"PhysicalSize{axis}Unit"] = "µm"
    with replacing(path) as temporary:
        tifffile.imwrite(temporary, data, ome=True, photometric="minisblack", metadata=metadata)
