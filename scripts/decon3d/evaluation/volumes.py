"""Restored volumes of a dataset against the references that the config names."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.evaluation.full_reference import evaluate_volume
from decon3d.evaluation.records import Record
from decon3d.volumes.header_checks import reference_problems
from decon3d.volumes.headers import Header
from decon3d.volumes.no_data import CONTEXT, mark, missing
from decon3d.volumes.reader import FROM_FILE, Reading, open_volume

if TYPE_CHECKING:
    import dask.array as da


def evaluate_volumes(
    *,
    prediction: str | None,
    raw: str,
    reference: str,
    channels: dict[str, int],
    times: list[int] | None,
    dataset: str,
    volume: str,
    method: str,
    fills: dict[str, float | None] | None = None,
    reading: Reading = FROM_FILE,
) -> list[Record]:
    """Measure one volume, all channels, against its reference.

    Parameters
    ----------
    prediction
        The restored volume, which holds the chosen channels and times only, in the config's
        order; None = the raw volume itself is measured.
    raw, reference
        Views of the raw volume and of its truth, with all channels and times of the input.
    channels
        Names of the chosen channels with their index in the input.
    times
        Chosen time points; None = all.
    fills
        By channel: value of the raw volume's voxels without data, which are left out; None = all
        have data.
    reading
        Which image of the reference's file, and its axes.

    Raises
    ------
    UserError
        If the reference has another grid than the raw volume.
    """
    truth, image = open_volume(reference, reading=reading), open_volume(raw)
    key = f"datasets.{dataset}.volumes"
    problems = reference_problems(Header.of(truth), Header.of(image), key=key)
    if problems:
        raise UserError("\n".join(problems))
    chosen = list(range(image.shape[0])) if times is None else times
    records: list[Record] = []
    for position, (channel, index) in enumerate(channels.items()):
        if prediction is None:
            values = image.data[chosen, index]
        else:
            values = open_volume(prediction).data[:, position]
        records += evaluate_volume(
            values,
            _where_data_are(
                truth.data[chosen, index], image.data[chosen, index], (fills or {}).get(channel)
            ),
            dataset=dataset,
            channel=channel,
            method=method,
            volume=volume,
        )
    return records


def _where_data_are(truth: "da.Array", raw: "da.Array", fill: float | None) -> "da.Array":
    """Make the truth NaN where the raw volume has no data (both T Z Y X)."""
    if fill is None and raw.dtype.kind != "f":
        return truth
    import dask.array as da

    depth = dict(enumerate(CONTEXT))
    marked = [
        da.map_overlap(
            lambda values: _absent(values, fill), r, depth=depth, boundary="none", dtype=bool
        )
        for r in raw
    ]
    return da.where(da.stack(marked), np.nan, truth)


def _absent(values: NDArray[Any], fill: float | None) -> NDArray[np.bool_]:
    found = missing(mark(values, fill))
    return np.zeros(values.shape, bool) if found is None else found
