"""The crop of a preview, and what all methods need of each of its channels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from decon3d import paths
from decon3d.blocks.geometry import Region
from decon3d.optics.psf import Psf, load_psf
from decon3d.report.preview_phantoms import PhantomTrial, try_phantoms
from decon3d.restoration.sample import channel_camera, sample_blocks
from decon3d.settings import Settings
from decon3d.volumes.camera import Camera, CameraRecord, load_camera, resolve_camera
from decon3d.volumes.statistics import ChannelStatistics, channel_statistics
from decon3d.volumes.volume_record import VolumeRecord


@dataclass(frozen=True)
class Crop:
    """The crop of a dataset on which its methods are tried.

    Attributes
    ----------
    root
        The working directory of the workflow. A search or training that has ended there is used.
    dataset
        Name of the dataset.
    record
        The ingested volume that the crop is cut from; it stands for all in the statistics.
    region
        Slices along Z, Y, X.
    shapes
        Of all volumes of the dataset (T, C, Z, Y, X).
    threads
        Of the CPU.
    """

    root: Path
    dataset: str
    settings: Settings
    record: VolumeRecord
    region: Region
    shapes: Sequence[tuple[int, int, int, int, int]]
    threads: int


@dataclass(frozen=True, eq=False)
class ChannelCrop:
    """A channel of the crop; what all methods need is measured once.

    Attributes
    ----------
    scratch
        Folder for files of the trials.
    """

    crop: Crop
    name: str
    scratch: Path

    @property
    def index(self) -> int:
        """The channel's, in the raw volumes."""
        return self.crop.settings.datasets[self.crop.dataset].channels[self.name].index

    @property
    def times(self) -> Sequence[int] | None:
        """The time points of the config."""
        return self.crop.settings.datasets[self.crop.dataset].times

    @property
    def psf_path(self) -> Path:
        """The file of the PSF."""
        return self.crop.root / paths.psf(self.crop.dataset, self.name)

    @cached_property
    def psf(self) -> Psf:
        """The point spread function."""
        return load_psf(self.psf_path)

    @cached_property
    def measured(self) -> CameraRecord:
        """The camera, as the data show it."""
        noise = self.crop.root / paths.noise(self.crop.dataset, self.name)
        known = load_camera(noise) if noise.is_file() else None
        seed = self.crop.settings.seed
        return known or channel_camera(
            [self.crop.record], channel=self.index, times=self.times, seed=seed
        )

    @cached_property
    def camera(self) -> Camera:
        """The camera of the config, completed by the measured one."""
        return resolve_camera(self.crop.settings.datasets[self.crop.dataset].camera, self.measured)

    @cached_property
    def statistics(self) -> ChannelStatistics:
        """Background and normalisation of the volume."""
        dataset = self.crop.settings.datasets[self.crop.dataset]
        fixed = dataset.channels[self.name].normalisation
        return channel_statistics(
            [self.crop.record],
            channel=self.index,
            camera_offset=dataset.camera.offset,
            fixed=fixed.law if fixed else None,
            key=f"datasets.{self.crop.dataset}",
        )

    @cached_property
    def sample(self) -> list[NDArray[Any]]:
        """Blocks of the volume."""
        seed = self.crop.settings.seed
        return sample_blocks([self.crop.record], channel=self.index, times=self.times, seed=seed)

    @cached_property
    def phantoms(self) -> PhantomTrial:
        """Some phantoms of each split."""
        return try_phantoms(
            self.scratch,
            settings=self.crop.settings,
            dataset=self.crop.dataset,
            channel=self.name,
            psf=self.psf,
            camera=self.camera,
            measured=self.measured,
            threads=self.crop.threads,
        )
