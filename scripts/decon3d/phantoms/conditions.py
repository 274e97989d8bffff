"""Light and camera of phantoms: the config's, else those of the data."""

import math
from dataclasses import dataclass, replace

from decon3d.logs import log
from decon3d.phantoms.imaging import SimulatedCamera
from decon3d.phantoms.sections import Phantoms
from decon3d.volumes.camera import Camera, CameraRecord, dose_of

ASSUMED_PHOTONS = (50.0, 500.0)
"""Dose if neither the config nor the data give one."""
ASSUMED_BACKGROUND = 5.0
NARROWEST = 1.5
"""A range of doses reaches at least this factor to either side of its middle, since the doses of
one volume are a poor estimate of those of others."""
LEAST_PHOTONS = 2.0
"""Smallest dose from the data."""


@dataclass(frozen=True)
class Conditions:
    """Light and camera of a channel's phantoms.

    Attributes
    ----------
    photons
        Range of the doses.
    assumed
        Assumptions about the light, in sentences without a full stop; those about the camera
        are in its own record.
    """

    photons: tuple[float, float]
    background_photons: float
    camera: SimulatedCamera
    assumed: tuple[str, ...] = ()

    @property
    def middle_photons(self) -> float:
        """Geometric mean of the range."""
        return (self.photons[0] * self.photons[1]) ** 0.5


def resolve_conditions(
    phantoms: Phantoms, *, camera: Camera, measured: CameraRecord | None = None
) -> Conditions:
    """Fill the config's null values from the data.

    Parameters
    ----------
    phantoms
        Its doses and background are kept if given.
    camera
        The channel's.
    measured
        The channel's camera record; None = the config is complete, or there are no data.

    Returns
    -------
    Conditions
        Doses are rounded to three digits. Noise is correlated and counts are rounded as in the
        data, if there are any.
    """
    found = SimulatedCamera.of(camera)
    assumed = []
    measured = measured or CameraRecord()
    if any(any(curve) for curve in measured.correlation):
        found = replace(found, correlation=measured.correlation)
    # Doses of the config may exceed the converter of the data.
    free = phantoms.photons is None and phantoms.test.doses is None
    if found.bits is None and measured.bits is not None and free:
        whole = int(measured.saturation or 0)
        found = replace(found, bits=min(whole.bit_length() or 16, 16))
    dose = dose_of(measured, camera)
    background = phantoms.background_photons
    if background is None:
        known = measured.plateau is not None
        background = _rounded(dose.background_photons) if known else ASSUMED_BACKGROUND
        if not known:
            assumed.append(
                f"phantoms.background_photons is not known; assumed {ASSUMED_BACKGROUND:g} photons"
            )
    photons = phantoms.photons
    if photons is None:
        photons = ASSUMED_PHOTONS
        if dose.photons is None:
            assumed.append(
                "phantoms.photons is not known, since no signal was found in the volumes; assumed "
                f"{photons[0]:g} to {photons[1]:g} photons"
            )
        else:
            photons = _widened(*dose.photons, most=found.most_photons - background)
    conditions = Conditions(photons, background, found, tuple(assumed))
    log.info(
        "phantoms: %.3g to %.3g photons at the brightest, %.3g of background; camera offset %.4g, "
        "gain %.3g, read noise %.3g",
        *photons,
        background,
        found.offset,
        found.gain,
        found.read_noise,
    )
    return conditions


def _widened(low: float, high: float, *, most: float) -> tuple[float, float]:
    """Widen a range to `NARROWEST`, within the camera's limits."""
    low, high = max(low, LEAST_PHOTONS), max(high, LEAST_PHOTONS)
    middle = (low * high) ** 0.5
    low, high = min(low, middle / NARROWEST), max(high, middle * NARROWEST)
    most = max(most, LEAST_PHOTONS)
    return _rounded(min(low, most)), _rounded(min(high, most), down=True)


def _rounded(value: float, *, down: bool = False) -> float:
    """Round to three digits."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{(math.floor(value / step) if down else round(value / step)) * step:.3g}")
