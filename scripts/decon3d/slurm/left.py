"""Whether jobs of a stopped run are left in SLURM's queue."""

import time
from collections.abc import Callable

from decon3d.slurm.facts import Ask, ask

PATIENCE_S = 40.0
"""Time in which cancelled jobs leave the queue; SLURM gives them 30 s (KillWait) to save."""


def jobs_left(
    name: str, *, ask: Ask = ask, sleep: Callable[[float], None] = time.sleep
) -> list[str] | None:
    """Wait until the jobs of a run have left the queue.

    Parameters
    ----------
    name
        The name of its jobs.

    Returns
    -------
    list of str
        The numbers of the jobs that are still there after `PATIENCE_S`; None = SLURM did not
        answer.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        found = ask(("squeue", "--noheader", f"--name={name}", "--format=%i"))
        if found is None or not found.split() or time.monotonic() > until:
            return None if found is None else found.split()
        sleep(1.0)


def in_words(name: str, left: list[str] | None) -> str:
    """Say in a sentence which jobs of a run are left in the queue."""
    if left is None:
        return f"SLURM did not answer; look with `squeue --name={name}`."
    if not left:
        return "Its SLURM jobs are cancelled; none is left in the queue."
    count = "1 SLURM job is" if len(left) == 1 else f"{len(left)} SLURM jobs are"
    return f"{count} still in the queue; end the rest with `scancel --name={name}`."
