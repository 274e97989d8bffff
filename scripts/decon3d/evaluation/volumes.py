"""Restored volumes of a dataset against the references that the config names."""

from decon3d.errors import UserError
from decon3d.evaluation.full_reference import evaluate_volume
from decon3d.evaluation.records import Record
from decon3d.volumes.reader import open_volume


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

    Raises
    ------
    UserError
        If the reference has another shape than the raw volume.
    """
    truth, image = open_volume(reference), open_volume(raw)
    if truth.shape != image.shape:
        raise UserError(
            f"{reference} has the shape {truth.shape} and {image.path} {image.shape} (T, C, Z, Y, "
            "X); a reference must lie on the volume's own grid"
        )
    chosen = list(range(image.shape[0])) if times is None else times
    records: list[Record] = []
    for position, (channel, index) in enumerate(channels.items()):
        if prediction is None:
            values = image.data[chosen, index]
        else:
            values = open_volume(prediction).data[:, position]
        records += evaluate_volume(
            values,
            truth.data[chosen, index],
            dataset=dataset,
            channel=channel,
            method=method,
            volume=volume,
        )
    return records
