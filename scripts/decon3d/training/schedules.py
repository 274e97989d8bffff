"""The learning rate of every step: a function of the settings, the step and the history."""

import math
from dataclasses import dataclass

from decon3d.networks.kind import Training

PATIENCE = 10
"""Validations without a better score that make a plateau."""


@dataclass
class Rate:
    """Returns the rate; keeps the reductions by plateaus and NaN losses.

    Attributes
    ----------
    training
        The schedule's settings.
    factor
        Product of the reductions by plateaus and `halve`.
    best, waited
        Best validation score so far, and validations since.
    """

    training: Training
    factor: float = 1.0
    best: float = math.inf
    waited: int = 0

    def at(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        t = self.training
        match t.schedule:
            case "exponential":
                share = t.decay_rate ** (step / t.decay_steps)
            case "staircase":
                share = t.decay_rate ** (step // t.decay_steps)
            case "quarters":
                share = 0.5 ** (4 * step // t.steps)
            case "cosine":
                share = (1 + math.cos(math.pi * step / t.steps)) / 2
            case _:
                share = 1.0
        return t.learning_rate * self.factor * share

    def validated(self, score: float) -> None:
        """Record a validation's score (lower is better)."""
        self.waited = 0 if score < self.best else self.waited + 1
        self.best = min(self.best, score)
        if self.training.schedule == "plateau" and self.waited >= PATIENCE:
            self.halve()
            self.waited = 0

    def halve(self) -> None:
        """Halve the rate from now on."""
        self.factor /= 2
