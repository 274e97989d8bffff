"""Peak signal-to-noise ratio, with the range of the truth as the peak."""

import math

from decon3d.evaluation.metric import Comparison, MetricWithTruth


def _measure(compared: Comparison) -> float:
    error, data_range = compared.mean_square_error, compared.match.truth_range
    if not data_range > 0:
        return math.nan
    return 10 * math.log10(data_range**2 / error) if error > 0 else math.inf


METRIC = MetricWithTruth(
    name="psnr",
    label="PSNR",
    unit="dB",
    better="higher",
    digits=2,
    caveat="Compares voxels; it does not count invented or missed objects.",
    measure=_measure,
    uses_range=True,
    place=1,
)
