"""When to stop, decided on a sample of the data: no truth, no phantoms.

The number of iterations is decided once, on blocks of the dataset, and then holds for every
block: blocks that stopped by themselves would not fit together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from decon3d.errors import UserError
from decon3d.logs import log

RELATIVE_CHANGE = 0.01
"""Change of the estimate per iteration (norm over norm) that counts as standing still."""


@dataclass(frozen=True)
class Stop:
    """Where a rule stopped."""

    iterations: int
    reached: bool
    """False if it went on to the most iterations allowed."""
    trace: tuple[float, ...]
    """What the rule looked at, by iteration."""


def first_below(
    traces: Sequence[Iterable[float]], *, threshold: float, most: int, rule: str
) -> Stop:
    """Stop at the first iteration where the mean over the blocks falls below a threshold.

    Parameters
    ----------
    traces
        By block, what the rule looks at after each iteration; endless, computed when asked for.
    threshold
        Of the rule.
    most
        The most iterations.
    rule
        Its name, for messages.
    """
    if not traces:
        raise UserError(
            f"stopping: {rule} needs a sample of the data, but no block holds data; set "
            "stopping: fixed and a number of iterations"
        )
    means: list[float] = []
    for values in zip(*traces, strict=False):
        means.append(float(np.mean(values)))
        if means[-1] < threshold:
            log.info("stopping: %s after %d iterations", rule, len(means))
            return Stop(len(means), True, tuple(means))
        if len(means) == most:
            break
    log.warning(
        "stopping: %s did not stop the method within %d iterations (its value is %.3g, the "
        "threshold %g), so %d iterations are used; to let the rule decide, raise the method's "
        "`iterations`",
        rule,
        most,
        means[-1],
        threshold,
        most,
    )
    return Stop(most, False, tuple(means))
