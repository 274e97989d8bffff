"""The test set: microscopes, doses and objects that no training has seen."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from decon3d.files import digest, replacing
from decon3d.optics.psf import Psf
from decon3d.optics.sections import Aberrations
from decon3d.phantoms.microscope_imaging import TakenVolume, take_volume
from decon3d.phantoms.microscopes import Microscope, draw_microscope
from decon3d.phantoms.sections import MicroscopeKind, Microscopes
from decon3d.phantoms.user_objects import OwnObject
from decon3d.seeds import generator
from decon3d.versions import VERSIONS
from validation.universal.objects import VERSION, at_scale, own_objects

Group = Literal["main", "foreign", "structures", "unlabelled"]
SEED = 77
KINDS: tuple[MicroscopeKind, ...] = (
    "widefield",
    "confocal",
    "widefield",
    "light_sheet",
    "two_photon",
)
MICROSCOPES = 20
"""8 of them are widefield."""
DOSES = (20.0, 200.0, 2000.0)
SHAPE = (24, 56, 56)
RECIPES: dict[Group, tuple[str, ...]] = {
    "main": ("membranes", "er_network", "tubules", "nuclei", "blobs"),
    "foreign": ("relief", "bars"),
    "structures": ("spots",),
    "unlabelled": ("empty", "dark"),
}
"""Those of `main` may be chosen. `empty` has the background of a dose, `dark` no light at all."""
RIGHT, ABERRATED = "right", "aberration ignored"
WIDTHS = {"0.75": 0.75, "0.9": 0.9, "1.1": 1.1, "1.25": 1.25}
"""Widths of the assumed PSF, relative to the true one."""
WRONG = (*WIDTHS, ABERRATED)
UNSEEN = Aberrations(spherical=0.06, coma_x=0.04)
"""The aberration that the assumed PSF ignores, in waves RMS."""
ISOTROPIC = (6, 12)
"""Microscopes, one of them widefield, with cubic voxels; those of the others are drawn."""
EVERY_FOREIGN, EVERY_WRONG = 3, 6
"""Every such microscope takes foreign objects, or is tested with wrong PSFs."""
OBJECTS_WRONG = 3
"""Objects that are restored with wrong PSFs: the first of `main`."""


@dataclass(frozen=True)
class Cell:
    """One microscope at one dose, with one assumed PSF and one group of objects."""

    microscope: int
    photons: float
    psf: str = RIGHT
    group: Group = "main"

    def draw(self) -> Microscope:
        """Draw its microscope: the same for all doses."""
        ranges = Microscopes(modalities={KINDS[self.microscope % len(KINDS)]: 1}, wrong_psf=0)
        rng = generator(SEED, "unseen microscope", self.microscope)
        found = draw_microscope(ranges, rng, without_empty=True)
        background = found.background_photons * self.photons / found.photons
        optics = found.optics
        if self.psf == ABERRATED:
            optics = optics.model_copy(update={"aberrations": UNSEEN})
        voxel, finer = found.voxel_size_um, found.finer
        if self.microscope in ISOTROPIC:
            voxel, finer = (voxel[1], *voxel[1:]), (1, *finer[1:])
        return replace(
            found,
            optics=optics,
            voxel_size_um=voxel,
            finer=finer,
            content="full",
            photons=self.photons,
            background_photons=background,
            camera=replace(found.camera, bits=None),
            assumed_width=WIDTHS.get(self.psf, 1.0),
        )

    @property
    def about(self) -> dict[str, Any]:
        """What the tables say of it."""
        microscope = self.draw()
        z, y, _ = microscope.voxel_size_um
        return {**asdict(self), "modality": microscope.optics.modality, "anisotropy": z / y}


@dataclass(frozen=True)
class Plan:
    """What is tested, and where results are kept."""

    folder: Path
    microscopes: int = MICROSCOPES
    doses: Sequence[float] = DOSES
    recipes: Sequence[str] = RECIPES["main"]
    shape: tuple[int, int, int] = SHAPE
    groups: Sequence[Group] = field(default=tuple(RECIPES))

    @cached_property
    def own(self) -> dict[str, OwnObject]:
        """The objects by other people's code."""
        return own_objects(self.folder / "objects")

    def recipes_of(self, cell: Cell) -> list[str]:
        """List the objects of a cell, without those whose files are absent."""
        names = self.recipes if cell.group == "main" else RECIPES[cell.group]
        if cell.psf != RIGHT:
            names = names[:OBJECTS_WRONG]
        return [name for name in names if name != "bars" or name in self.own]

    def cells(self) -> Iterator[Cell]:
        """List the cells: those of the middle dose, of the lowest, and of the others."""
        doses = sorted(self.doses)
        middle, every = doses[len(doses) // 2], range(self.microscopes)
        found: list[Cell] = []
        order = sorted(doses, key=lambda dose: (dose != middle, dose))
        for number, dose in enumerate(order):
            found += [Cell(m, dose) for m in every]
            if dose == middle:
                found += [Cell(m, dose, group="structures") for m in every]
            found += [Cell(m, dose, group="foreign") for m in every[::EVERY_FOREIGN]]
            if dose == doses[0]:
                found += [Cell(m, dose, group="unlabelled") for m in every]
            if number == min(1, len(order) - 1):
                found += [Cell(m, middle, psf) for m in every[::EVERY_WRONG] for psf in WRONG]
        return (cell for cell in found if cell.group in self.groups)

    def identity(self, cell: Cell, recipes: Sequence[str]) -> str:
        """Hash all that a cell's volumes follow from."""
        versions = {name: VERSIONS[name] for name in ("phantoms", "psf")}
        about = [asdict(cell), list(recipes), list(self.shape), SEED, VERSION, versions]
        return digest(about)

    def volumes(self, cell: Cell) -> dict[str, TakenVolume]:
        """Take a volume of each object, or read those that were taken before."""
        return {recipe: self._volume(cell, recipe) for recipe in self.recipes_of(cell)}

    def _volume(self, cell: Cell, recipe: str) -> TakenVolume:
        path = self.folder / "volumes" / f"{self.identity(cell, [recipe])}.npz"
        if not path.exists():
            taken = self._take(cell, recipe)
            with replacing(path, ending=path.suffix) as temporary:
                np.savez(
                    temporary,
                    object=taken.object,
                    image=taken.image,
                    psf=taken.psf.data,
                    voxel=taken.psf.voxel_size_um,
                )
        with np.load(path) as kept:
            z, y, x = kept["voxel"].tolist()
            return TakenVolume(kept["object"], kept["image"], Psf(kept["psf"], (z, y, x), {}))

    def _take(self, cell: Cell, recipe: str) -> TakenVolume:
        microscope = cell.draw()
        rng = generator(SEED, "unseen object", cell.microscope, recipe)
        if cell.group == "unlabelled":
            background = 0.0 if recipe == "dark" else microscope.background_photons
            microscope = replace(
                microscope, content="empty", haze=0.0, photons=0.0, background_photons=background
            )
            recipe = "spheres"  # drawn, but without light
        if cell.group == "structures":
            microscope = replace(microscope, haze=0.0)  # relative to a point, it is too bright
        own = at_scale(self.own, microscope.unit_um)
        return take_volume(microscope, recipe, shape=self.shape, rng=rng, own=own)
