"""Whole microscopes, drawn at random: optics, voxels, camera, light, and what is known of them.

One network for many microscopes learns from volumes each of which has its own microscope. A
microscope follows from a seed alone.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from decon3d.optics.sections import Aberrations, Optics
from decon3d.phantoms.grids import Shape, VoxelSize
from decon3d.phantoms.patterned_camera import PatternedCamera
from decon3d.phantoms.sections import Microscopes
from decon3d.volumes.camera import Camera

Content = Literal["full", "sparse", "empty"]
Bounds = tuple[float, float]

WATER, SILICONE, OIL, CLEARED = 1.333, 1.406, 1.515, 1.45
IMMERSED = ((WATER, (0.8, 1.2)), (SILICONE, (0.9, 1.3)), (OIL, (1.1, 1.42)))
OBJECTIVES: dict[str, tuple[tuple[float, Bounds], ...]] = {
    "widefield": ((1.0, (0.4, 0.9)), *IMMERSED),
    "confocal": ((1.0, (0.6, 0.9)), *IMMERSED),
    "light_sheet": ((WATER, (0.4, 1.1)), (CLEARED, (0.3, 0.6))),
    "two_photon": ((1.0, (0.5, 0.8)), (WATER, (0.8, 1.1))),
}
"""Immersion index and range of the numerical aperture of the objectives of a modality."""
SPECIMENS = (1.333, 1.47)
"""Range of a specimen's index that differs from the immersion's."""
MATCHED = 0.5
"""Share of the specimens with the immersion's index."""
WAVES = 1.2
"""Largest path difference over the aperture by a specimen's index, in waves."""
DEEPEST_UM = 30.0
EMISSION_UM = (0.45, 0.7)
EXCITATION_UM = (0.76, 1.04)
"""Of two-photon microscopes."""
PINHOLES_AU = (0.6, 2.0)
SHEETS_UM = (0.8, 6.0)
SAMPLING = (0.5, 2.0)
"""Voxels, relative to Nyquist's: λ / 4 NA laterally, λ / 2 (n - √(n² - NA²)) axially."""
ANISOTROPY = (1.0, 6.0)
"""Axial over lateral voxel size."""
TRIES = 200
FINEST = (1.0, 0.75)
"""Axial and lateral voxels of the object, at most, relative to Nyquist's."""
UNITS = (0.7, 2.0)
"""Unit of the objects' sizes, relative to Nyquist's lateral voxel, and at least half a voxel."""
GAINS = (0.2, 5.0)
MOST_GAIN = 30.0
"""Counts per photon up to which the gain is raised until the brightest voxels are saturated."""
OFFSETS = (0.0, 400.0)
READ_NOISE = (0.3, 3.0)
BACKGROUND = (0.005, 0.3)
"""Background, relative to the dose; `DARK` photons are added."""
DARK = 0.2
HAZE = (0.01, 0.1)
"""Mean autofluorescence, relative to the brightest object (as in `mixture`)."""
WIDTHS = (0.75, 1.25)
"""Widths of a wrong PSF, relative to the right one."""
UNSEEN_WAVES = (0.03, 0.1)
"""RMS of an aberration that is unknown to the assumed PSF, in waves."""


@dataclass(frozen=True)
class Microscope:
    """A microscope, its camera, its light, and the PSF that a restoration assumes for it.

    Attributes
    ----------
    optics
        As they are.
    assumed_optics, assumed_width
        As a restoration assumes them, and a factor on the width of the PSF that follows.
    emission_um, excitation_um
        Wavelengths, in µm.
    voxel_size_um
        Voxels of the image (Z, Y, X), in µm.
    finer
        Voxels of the object per voxel of the image (Z, Y, X), odd along Z.
    unit_um
        Unit of the objects' sizes, in µm.
    camera, camera_known
        The camera, and whether a restoration knows its numbers.
    photons, background_photons
        Mean of the brightest 0.1 % of the voxels above the background, and the background.
    content
        `sparse`: one small part of the field holds objects. `empty`: the background alone.
    haze
        Mean autofluorescence, relative to the brightest object.
    """

    optics: Optics
    assumed_optics: Optics
    assumed_width: float
    emission_um: float
    excitation_um: float | None
    voxel_size_um: VoxelSize
    finer: Shape
    unit_um: float
    camera: PatternedCamera
    camera_known: bool
    photons: float
    background_photons: float
    content: Content
    haze: float

    @property
    def known_camera(self) -> Camera | None:
        """The camera as a config would give it; None = its numbers are unknown."""
        camera = self.camera
        known = Camera(camera.offset, camera.gain, camera.read_noise, camera.bits)
        return known if self.camera_known else None

    @property
    def description(self) -> dict[str, Any]:
        """All values, JSON-able."""
        optics = {
            name: getattr(self, name).model_dump(mode="json", exclude_defaults=True)
            for name in ("optics", "assumed_optics")
        }
        values = {name: value for name, value in vars(self).items() if name not in optics}
        return {**optics, **values, "camera": asdict(self.camera)}


def draw_microscope(
    ranges: Microscopes, rng: np.random.Generator, *, without_empty: bool = False
) -> Microscope:
    """Draw a microscope.

    Parameters
    ----------
    ranges
        Shares of the modalities and of wrong PSFs, range of the doses.
    rng
        The microscope depends on its state alone.
    without_empty
        Draw no empty volumes, which have no score.

    Returns
    -------
    Microscope
        Numbers are uniform or log-uniform in the ranges of this module.
    """
    names = sorted(ranges.modalities)
    weights = np.array([ranges.modalities[name] for name in names])
    modality = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    immersion, apertures = OBJECTIVES[modality][int(rng.integers(len(OBJECTIVES[modality])))]
    aperture = float(rng.uniform(*apertures))
    emission = float(rng.uniform(*EMISSION_UM))
    excitation = float(rng.uniform(*EXCITATION_UM)) if modality == "two_photon" else None
    # Squared excitation passes as high frequencies as half its wavelength would.
    wave = emission if excitation is None else excitation / 2
    specimen, depth = _specimen(immersion, aperture, wave, rng)
    sheet = _log_uniform(SHEETS_UM, rng) if modality == "light_sheet" else None
    optics = Optics(
        modality=modality,
        numerical_aperture=aperture,
        immersion_index=immersion,
        sample_index=specimen,
        depth_um=depth,
        pinhole_au=_log_uniform(PINHOLES_AU, rng) if modality == "confocal" else 1.0,
        sheet_thickness_um=sheet,
    )
    axial = wave / (2 * (immersion - (immersion**2 - aperture**2) ** 0.5))
    if sheet is not None:
        axial = (axial**-2 + (2 / sheet) ** 2) ** -0.5
    lateral = wave / (4 * aperture)
    voxel = _voxel(axial, lateral, rng)
    optics, assumed, width = _assumed(optics, ranges.wrong_psf, rng)
    photons = _log_uniform(ranges.photons, rng)
    background = photons * _log_uniform(BACKGROUND, rng) + DARK
    content, haze = _content(rng)
    if content == "empty" and without_empty:
        content = "full"
    if content == "empty":
        photons = 0.0
    finer = _finer(voxel, axial, lateral)
    unit = max(lateral * _log_uniform(UNITS, rng), voxel[1] / 2)
    return Microscope(
        optics=optics,
        assumed_optics=assumed,
        assumed_width=width,
        emission_um=emission,
        excitation_um=excitation,
        voxel_size_um=voxel,
        finer=finer,
        unit_um=unit,
        camera=_camera(modality, photons, background, rng),
        camera_known=bool(rng.random() < 0.5),
        photons=photons,
        background_photons=background,
        content=content,
        haze=haze,
    )


def _log_uniform(bounds: Bounds, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _specimen(
    immersion: float, aperture: float, wave: float, rng: np.random.Generator
) -> tuple[float | None, float]:
    """Draw the specimen's index and a depth (µm) up to `WAVES` of path difference."""
    matched = rng.random() < MATCHED
    index, waves = float(rng.uniform(*SPECIMENS)), float(rng.uniform(0, WAVES))
    if matched or aperture > 0.97 * index:
        return None, 0.0
    inside, outside = (index**2 - aperture**2) ** 0.5, (immersion**2 - aperture**2) ** 0.5
    path = abs((index - immersion) - (inside - outside))  # per depth, rim against the axis
    return index, float(min(waves * wave / max(path, 1e-6), DEEPEST_UM))


def _voxel(axial: float, lateral: float, rng: np.random.Generator) -> VoxelSize:
    """Draw voxels within `SAMPLING` of Nyquist's and within `ANISOTROPY`."""
    for _ in range(TRIES):
        edge = lateral * _log_uniform(SAMPLING, rng)
        step = axial * _log_uniform(SAMPLING, rng)
        if ANISOTROPY[0] <= step / edge <= ANISOTROPY[1]:
            return step, edge, edge
    # Of low apertures, no such pair may exist.
    return float(np.clip(step, ANISOTROPY[0] * edge, ANISOTROPY[1] * edge)), edge, edge


def _finer(voxel: VoxelSize, axial: float, lateral: float) -> Shape:
    """Return the voxels of the object per voxel of the image."""
    planes = int(np.ceil(voxel[0] / (FINEST[0] * axial) - 1e-6))
    across = int(np.ceil(voxel[1] / (FINEST[1] * lateral) - 1e-6))
    return planes + 1 - planes % 2, across, across


def _assumed(
    optics: Optics, share: float, rng: np.random.Generator
) -> tuple[Optics, Optics, float]:
    """Draw the true and the assumed optics, and the factor on the assumed PSF's width."""
    wrong, kind = rng.random() < share, int(rng.integers(4))
    width = float(rng.uniform(*WIDTHS))
    waves, angle = float(rng.uniform(*UNSEEN_WAVES)), float(rng.uniform(0, 2 * np.pi))
    if not wrong:
        return optics, optics, 1.0
    if kind < 2:
        return optics, optics, width
    if kind == 2 and optics.sample_index is not None:  # the depth is unknown
        return optics, optics.model_copy(update={"sample_index": None, "depth_um": 0.0}), 1.0
    first, second = waves * np.cos(angle), waves * np.sin(angle)
    unseen = (
        Aberrations(spherical=first, coma_x=second)
        if kind == 2
        else Aberrations(astigmatism_0=first, coma_y=second)
    )
    return optics.model_copy(update={"aberrations": unseen}), optics, 1.0


def _content(rng: np.random.Generator) -> tuple[Content, float]:
    """Draw what the field holds: 3 % are empty and 5 % nearly so; a third has a haze."""
    part, hazy, haze = rng.random(), rng.random() < 1 / 3, _log_uniform(HAZE, rng)
    content: Content = "empty" if part < 0.03 else "sparse" if part < 0.08 else "full"
    return content, haze if hazy else 0.0


def _camera(
    modality: str, photons: float, background: float, rng: np.random.Generator
) -> PatternedCamera:
    """Draw a camera: a quarter of sCMOS type, a tenth saturated, some noise correlated."""
    offset, gain = float(np.rint(rng.uniform(*OFFSETS))), _log_uniform(GAINS, rng)
    read_noise = _log_uniform(READ_NOISE, rng)
    bits: int | None = (None, 16, 16, 12)[int(rng.integers(4))]
    patterned, saturated = rng.random() < 0.25, rng.random() < 0.1
    full, near = float(rng.uniform(0.6, 0.95)), float(rng.uniform(0.1, 0.4))
    smeared = rng.random() < (0.4 if modality == "light_sheet" else 0.08)
    offset_spread, gain_spread = _log_uniform((0.3, 3.0), rng), _log_uniform((0.003, 0.02), rng)
    seed = int(rng.integers(2**31))
    if saturated and photons > 0:
        bits = bits or 12
        gain = min((2**bits - 1 - offset) / (full * photons + background), MOST_GAIN)
    elif bits is not None:  # the brightest counts fit, with room for noise
        gain = min(gain, (2**bits - 1 - offset) / (2 * (photons + background) + 50))
    return PatternedCamera(
        offset=offset,
        gain=float(gain),
        read_noise=read_noise,
        bits=bits,
        # Deskewing interpolates along Z and Y.
        correlation=((near, 0.0), (near, 0.0), (0.0, 0.0)) if smeared else (),
        offset_spread=gain * offset_spread if patterned else 0.0,
        gain_spread=gain_spread if patterned else 0.0,
        noisy=0.01 if patterned else 0.0,
        pattern_seed=seed,
    )
