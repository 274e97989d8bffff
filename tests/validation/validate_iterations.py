"""What `iterations: auto`, `tune_on: data` and the bounds of the tuning lose against the truth.

Eight kinds of objects, four PSFs, doses of 10 to 3,000 photons. `risk.WEAK` and `risk.TRUST` were
fitted on such volumes: change them only with this table at hand.
"""

from collections.abc import Iterator

import numpy as np

from decon3d.classical.tuning import TuningResult
from support.chosen_iterations import (
    KINDS,
    exposure_of,
    lost_by_bounds,
    lost_by_tuning,
    outcome,
    psf_of,
)

DOSES = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
PSFS = ("gaussian", "light_sheet", "confocal", "widefield")
TUNED = ("tubules", "nuclei", "er_network", "spheres")
"""Kinds that total variation helps at every dose: on the others its best weight may be 0."""

BOUNDED = ("broad", "nuclei", "tubules", "texture")


def main(quick: bool = False) -> str:
    """Return the table: iterations chosen / best and dB lost, by PSF, dose and kind."""
    return "\n".join(_lines(quick))


def _lines(quick: bool) -> Iterator[str]:
    yield "RL, `iterations: auto`: chosen / best iterations, dB lost; 24 × 48 × 48 voxels\n"
    yield "| PSF | photons | " + " | ".join(KINDS) + " | mean | most |"
    yield "|---" * (len(KINDS) + 4) + "|"
    for name in PSFS[:1] if quick else PSFS:
        psf = psf_of(name)
        for photons in (30.0, 300.0) if quick else DOSES:
            found = [outcome(exposure_of(kind, psf, photons), psf) for kind in KINDS]
            cells = [f"{o.choice.iterations}/{o.best} {o.lost:.2f}" for o in found]
            lost = [o.lost for o in found]
            yield (
                f"| {name} | {photons:g} | "
                + " | ".join(cells)
                + f" | {np.mean(lost):.2f} | {max(lost):.2f} |"
            )
    yield "\nRLTV, `tune_on: data`: chosen / best λ, dB lost\n"
    yield "| PSF | photons | " + " | ".join(TUNED) + " | mean | most |"
    yield "|---" * (len(TUNED) + 4) + "|"
    psf = psf_of("gaussian")
    for photons in (100.0,) if quick else DOSES[2:]:
        tuned = [lost_by_tuning(exposure_of(kind, psf, photons), psf) for kind in TUNED]
        cells = [f"{t.chosen:.2g}/{t.best:.2g} {t.lost:.2f}" for t in tuned]
        lost = [t.lost for t in tuned]
        yield (
            f"| gaussian | {photons:g} | "
            + " | ".join(cells)
            + f" | {np.nanmean(lost):.2f} | {np.nanmax(lost):.2f} |"
        )
    yield "\nRLTV, tuned on the truth: iterations chosen / tried at all λ, dB still to gain: stated / true"
    yield ""
    yield "| PSF | photons | " + " | ".join(BOUNDED) + " | most lost | CPU s |"
    yield "|---" * (len(BOUNDED) + 4) + "|"
    for name in PSFS[2:3] if quick else PSFS[2:]:
        psf = psf_of(name)
        for photons in (50.0,) if quick else (50.0, 500.0):
            runs = [lost_by_bounds(exposure_of(kind, psf, photons), psf) for kind in BOUNDED]
            cells = [
                f"{r.found.iterations}/{_tried(r.found)} {r.found.to_gain:.2f}/{r.lost:.2f}"
                for r in runs
            ]
            yield (
                f"| {name} | {photons:g} | "
                + " | ".join(cells)
                + f" | {max(r.lost for r in runs):.2f} | {sum(r.seconds for r in runs):.0f} |"
            )


def _tried(found: TuningResult) -> int:
    """Return the iterations at all λ together."""
    return sum({t.weight: t.iterations for t in found.curve}.values())
