"""Root mean square error, relative to the root mean square of the truth."""

import math

from decon3d.evaluation.metric import Comparison, MetricWithTruth


def _measure(compared: Comparison) -> float:
    norm = compared.match.truth_norm
    return math.sqrt(compared.mean_square_error) / norm if norm > 0 else math.nan


METRIC = MetricWithTruth(
    name="nrmse",
    label="NRMSE",
    unit="",
    better="lower",
    digits=3,
    caveat="Compares voxels; as restored it also counts a wrong scale or offset.",
    measure=_measure,
    place=2,
)
