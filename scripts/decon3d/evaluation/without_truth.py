"""A dataset's own volumes without truth: decorrelation, SQUIRREL and ASM, on stated samples.

None of them proves that a restoration is right; `catalogue` lists the limits of each.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.evaluation.decorrelation import decorrelate
from decon3d.evaluation.metric import OWN
from decon3d.evaluation.records import Record
from decon3d.evaluation.sampling import DIRECTIONS, PLANES, Window, planes, windows
from decon3d.evaluation.squirrel import squirrel
from decon3d.evaluation.texture import angular_second_moment
from decon3d.logs import log
from decon3d.optics.psf import Psf, fwhm_um
from decon3d.volumes.reader import open_volume
from decon3d.volumes.volume_record import VolumeRecord

SIGMA = 1 / (2 * np.sqrt(2 * np.log(2)))
"""σ of a Gaussian, relative to its full width at half maximum."""
VOLUMES = 12
"""Volumes of a dataset that are measured, evenly chosen."""
_PLANES = f"up to {PLANES} planes per direction of up to 3 windows of 64 × 256 × 256"
IMPLEMENTATIONS = {
    "decorrelation": f"{OWN} after Descloux 2019: 50 radii, 10 filters, 2 passes; {_PLANES}; xz, "
    "yz: frequencies within 22.5° of Z",
    "decorrelation_a0": f"{OWN} after Descloux 2019, the mean included; {_PLANES}",
    "rsp": f"{OWN} after Culley 2018, in 3D: σ along Z and in the plane fitted",
    "rse": f"{OWN} after Culley 2018, in 3D: σ along Z and in the plane fitted",
    "asm": "scikit-image graycomatrix, 64 levels (0.1 to 99.9 %), distance 1, 4 angles, symmetric, "
    f"normed; {_PLANES}",
}


def chosen_volumes(names: Sequence[str]) -> list[str]:
    """Choose the volumes of a dataset that are measured without truth: up to 12, evenly."""
    places = np.linspace(0, len(names) - 1, min(VOLUMES, len(names))).round().astype(int)
    if len(places) < len(names):
        log.info("%d of %d volumes are measured without truth", len(places), len(names))
    return [names[i] for i in places]


def measure_volume(
    record: VolumeRecord,
    *,
    prediction: str | None,
    channels: dict[str, int],
    times: Sequence[int] | None,
    psfs: dict[str, Psf],
    dataset: str,
    method: str,
    seed: int,
) -> list[Record]:
    """Measure one volume, all channels.

    Parameters
    ----------
    record
        The ingested raw volume.
    prediction
        The restored volume, which holds the chosen channels and times only, in the config's order;
        None = the raw volume itself is measured.
    channels
        Names of the chosen channels with their index in the input.
    times
        Chosen time points; None = all.
    psfs
        By channel; a restoration's blur is sought near them.
    seed
        The config's seed; with the volume's name it chooses the windows.

    Returns
    -------
    list of Record
        Means over planes and windows; subject `volume/<name>`, split `data`.
    """
    restored = None if prediction is None else open_volume(prediction)
    kept = list(range(record.shape[0]) if times is None else times)
    records = []
    for position, (channel, index) in enumerate(channels.items()):
        found: dict[tuple[str, str], list[float]] = {}
        for window in windows(record, channel=index, times=times, seed=seed):
            values = window.values
            if restored is not None:
                values = restored.read(kept.index(window.time), position, window.region)
                values = np.where(np.isnan(window.values), np.float32(np.nan), values)
            for key, value in measure_window(values, window, psf=psfs[channel]).items():
                found.setdefault(key, []).append(value)
        records += [
            Record(
                dataset=dataset,
                channel=channel,
                method=method,
                subject=f"volume/{record.name}",
                split="data",
                metric=metric,
                variant="affine" if metric in ("rsp", "rse") else "unmatched",
                region=region,
                implementation=IMPLEMENTATIONS[metric],
                value=_mean(values),
            )
            for (metric, region), values in found.items()
        ]
    return records


def measure_window(
    values: NDArray[Any], window: Window, *, psf: Psf
) -> dict[tuple[str, str], float]:
    """Measure one window of a restoration (Z Y X, counts; NaN = no data).

    Returns
    -------
    dict
        Values by metric and region (`xy`, `xz`, `yz` or `volume`).
    """
    found: dict[tuple[str, str], float] = {}
    z, y, x = psf.voxel_size_um
    for direction in DIRECTIONS:
        flat = direction == "xy"
        images = list(planes(values, direction))
        outcomes = [decorrelate(image, along_rows=not flat) for image in images]
        lengths = [o.resolution_um((y + x) / 2 if flat else z) for o in outcomes]
        found["decorrelation", direction] = _mean(lengths)
        found["decorrelation_a0", direction] = _mean([o.amplitude for o in outcomes])
        found["asm", direction] = angular_second_moment(images)
    widths = fwhm_um(psf.data, psf.voxel_size_um)
    wide = [w * SIGMA / v for w, v in zip(widths, psf.voxel_size_um, strict=True)]
    same = values is window.values
    fit = squirrel(values, window.values, start=(0, 0) if same else (wide[0], wide[2]))
    found["rsp", "volume"], found["rse", "volume"] = fit.rsp, fit.rse
    return found


def _mean(values: Sequence[float]) -> float:
    """Mean of those that are defined."""
    defined = [v for v in values if np.isfinite(v)]
    return float(np.mean(defined)) if defined else float("nan")
