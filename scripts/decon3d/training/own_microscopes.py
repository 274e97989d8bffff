"""The microscopes of a store in which every volume has its own."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from decon3d.networks.description import MicroscopeRange
from decon3d.optics.arrays import triple
from decon3d.optics.psf import Psf, fwhm_um, normalised_psf
from decon3d.volumes.camera import Camera, resolve_camera
from decon3d.volumes.photon_transfer import measure_camera
from decon3d.volumes.sections import CameraSection


class OwnMicroscopes:
    """The microscopes of a store's volumes.

    Parameters
    ----------
    group
        With the array `psf` (n, Z, Y, X) and the attribute `microscopes`; see
        `phantoms.stores.make_split`.
    """

    def __init__(self, group: zarr.Group) -> None:
        described: Any = group.attrs["microscopes"]
        self._described: Sequence[dict[str, Any]] = described
        self._psfs: Any = group["psf"]

    @classmethod
    def of(cls, group: zarr.Group) -> "OwnMicroscopes | None":
        """Return those of a store; None if its volumes share one."""
        return cls(group) if "microscopes" in group.attrs else None

    def known_offset(self, index: int) -> float | None:
        """Counts of a dark image of one volume's camera; None = unknown."""
        camera = self._known(index)
        return None if camera is None else camera.offset

    def psf(self, index: int) -> Psf:
        """Read the PSF that is assumed for one volume, without the zeros around it."""
        data = self._psfs[index]
        voxel = triple(self._described[index]["voxel_size_um"])
        ends = [
            np.flatnonzero(data.any(axis=tuple(a for a in range(3) if a != axis)))
            for axis in range(3)
        ]
        # Centred: the same number of empty planes at both ends.
        cuts = [
            min(int(used[0]), n - 1 - int(used[-1]))
            for used, n in zip(ends, data.shape, strict=True)
        ]
        return normalised_psf(data[tuple(slice(c, -c or None) for c in cuts)], voxel, {})

    def camera(self, index: int, image: NDArray[Any]) -> Camera:
        """Return one volume's camera: as a config would give it, or measured in its image.

        `image`: (Z, Y, X), counts; NaN = no data.
        """
        known = self._known(index)
        return known or resolve_camera(CameraSection(), measure_camera([image]))

    def _known(self, index: int) -> Camera | None:
        about = self._described[index]
        if not about["camera_known"]:
            return None
        values = about["camera"]
        return Camera(values["offset"], values["gain"], values["read_noise"], values["bits"])

    def range(self) -> MicroscopeRange:
        """Sum them up."""
        widths = []
        for index in range(len(self._described)):
            psf = self.psf(index)
            widths.append(np.divide(fwhm_um(psf.data, psf.voxel_size_um), psf.voxel_size_um))
        axial, lateral = np.array(widths)[:, 0], np.array(widths)[:, 1:]
        apertures = [d["optics"]["numerical_aperture"] for d in self._described]
        ratios = [d["voxel_size_um"][0] / d["voxel_size_um"][1] for d in self._described]
        return MicroscopeRange(
            modalities=dict(Counter(sorted(d["optics"]["modality"] for d in self._described))),
            axial_fwhm_voxels=(float(axial.min()), float(axial.max())),
            lateral_fwhm_voxels=(float(lateral.min()), float(lateral.max())),
            anisotropy=(min(ratios), max(ratios)),
            numerical_aperture=(min(apertures), max(apertures)),
        )
