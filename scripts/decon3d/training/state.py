"""The state of a training, saved and restored, with its history."""

import copy
import csv
import io
import math
import time
from pathlib import Path

import numpy as np

from decon3d.errors import UserError
from decon3d.files import write_text
from decon3d.logs import log
from decon3d.networks.backend import keras
from decon3d.training.checkpoint import Checkpoint
from decon3d.training.schedules import Rate

MOST_LOSSES = 2
"""NaN losses that a training survives, with half the rate after each."""


class TrainingState:
    """Everything that a training changes.

    Parameters
    ----------
    model, optimizer
        The trained model and its optimiser, whose weights and variables are saved (including a loss
        scale).
    rate
        Gives the learning rate.
    folder
        Gets checkpoint.npz and history.csv.
    key
        Hash of settings, data and software; another key is another training.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        rate: Rate,
        folder: Path,
        key: str,
    ) -> None:
        self.model, self.optimizer, self.rate, self.key = model, optimizer, rate, key
        self.path, self.history = folder / "checkpoint.npz", folder / "history.csv"
        self.step = self.best_step = 0
        self.seconds = 0.0
        self.losses_of_nan = 0
        self.best = model.get_weights()
        self.scores: dict[str, dict[str, float]] = {}
        self.rows: list[dict[str, float]] = []
        self.since: list[dict[str, float]] = []
        self._clock = time.monotonic()
        self._last = self._snapshot()

    def _snapshot(self) -> Checkpoint:
        names = ("step", "best_step", "losses_of_nan", "scores", "rows", "since")
        self.seconds += time.monotonic() - self._clock
        self._clock = time.monotonic()
        rate = {k: getattr(self.rate, k) for k in ("factor", "best", "waited")}
        return Checkpoint(
            key=self.key,
            weights=self.model.get_weights(),
            optimizer=[np.asarray(v) for v in self.optimizer.variables],
            best=[w.copy() for w in self.best],
            values=copy.deepcopy(
                {"rate": rate, "seconds": self.seconds, **{n: getattr(self, n) for n in names}}
            ),
        )

    def _take_up(self, found: Checkpoint) -> None:
        values = copy.deepcopy(found.values)
        self.model.set_weights(found.weights)
        for variable, value in zip(self.optimizer.variables, found.optimizer, strict=True):
            variable.assign(value)
        self.best = [w.copy() for w in found.best]
        for name, value in values.pop("rate").items():
            setattr(self.rate, name, value)
        for name, value in values.items():
            setattr(self, name, value)

    def save(self) -> None:
        """Save the state on disk and in memory."""
        self._last = self._snapshot()
        self._last.save(self.path)

    def resume(self) -> bool:
        """Restore the saved state of this training, if there is one."""
        found = Checkpoint.load(self.path, key=self.key)
        if found is None:
            return False
        self._take_up(found)
        self._last = found
        log.info("resuming after step %d", self.step)
        return True

    def go_back(self, kind: str) -> None:
        """Go back to the last saved state with half the rate; fail the third time.

        Raises
        ------
        UserError
            The third time.
        """
        lost = self.step + 1
        times = self.losses_of_nan + 1
        if times > MOST_LOSSES:
            raise UserError(
                f"training {kind}: the loss is NaN at step {lost}, after the rate was halved "
                f"{MOST_LOSSES} times; lower methods.….training.learning_rate"
            )
        self._take_up(self._last)
        for _ in range(times - self.losses_of_nan):  # some may be in the saved rate
            self.rate.halve()
        self.losses_of_nan = times
        log.warning(
            "the loss is NaN at step %d; the training continues from step %d with half the rate",
            lost,
            self.step,
        )

    def ended_early(self, patience: int | None) -> bool:
        """Return whether the last `patience` validations brought no better score."""
        return patience is not None and patience <= sum(
            row["step"] > self.best_step for row in self.rows
        )

    def started(self, scores: dict[str, float]) -> None:
        """Record the scores of the initial weights, the best so far."""
        self.scores["start"] = self.scores["model"] = scores

    def validated(self, scores: dict[str, float]) -> None:
        """Record a validation: a row of the history, and the weights if they are the best."""
        self.rate.validated(scores["nrmse"])
        means = {k: sum(p[k] for p in self.since) / len(self.since) for k in self.since[0]}
        self.since = []
        self.rows.append(
            {
                "step": self.step,
                **means,
                "learning_rate": float(self.optimizer.learning_rate),
                **{f"val_{key}": value for key, value in scores.items()},
                "seconds": round(self.seconds + time.monotonic() - self._clock, 2),
            }
        )
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.history, text.getvalue())
        log.info(
            "step %d: validation loss %.4f, affine PSNR %.2f dB, NRMSE %.4f",
            self.step,
            scores["loss"],
            scores["psnr_affine"],
            scores["nrmse"],
        )
        if scores["nrmse"] < self.scores.get("model", {"nrmse": math.inf})["nrmse"]:
            self.scores["model"] = scores
            self.best_step, self.best = self.step, self.model.get_weights()
