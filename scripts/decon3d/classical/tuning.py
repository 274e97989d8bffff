"""Fair tuning of Richardson-Lucy: at an interior optimum, or not at all.

A baseline is only as strong as its parameters. A search that ends on the edge of its grid has not
found the optimum, and a table made with it understates the method, so it is an error here, never
a result. The rule:

- **Iterations.** For a given λ, one run is scored at geometrically spaced checkpoints until the
  score has fallen past its peak or has not risen by more than a tolerance while the iterations
  doubled, or until, by the trend of its gains, it cannot reach the best of another λ.
  The peak is the *first* checkpoint within that tolerance of the best.
- **λ.** The search climbs from one λ by factors of 3 until both neighbours of the best are worse,
  then tries the middle (a factor of √3) towards the better neighbour.
- **Edges.** If a run that may still become the best is rising at the most iterations, or the best λ
  is at the end of the ladder, `UserError` says so.

Score: with a truth, PSNR in dB after the affine least-squares match of the estimate to it, with
R = max - min of the truth, on whole volumes (tolerance 0.01 dB); without, negative predicted error
(`risk`). It is averaged over the volumes.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decon3d.classical.kind import Prior
from decon3d.classical.operators import Blur, Shape
from decon3d.classical.recipe import Recipe
from decon3d.classical.richardson_lucy import FloatArray
from decon3d.errors import UserError
from decon3d.logs import log

CHECKPOINTS_PER_OCTAVE = 8
TOLERANCE_DB = 0.01
"""Differences below this count as equal; of equals, the fewest iterations are chosen."""
FALLEN = 10
"""A score that is so many tolerances below the best is past its peak."""


@dataclass(frozen=True)
class Ladder:
    """Where the search for a λ starts and ends."""

    first: float
    least: float
    most: float


LADDERS: dict[Prior, Ladder] = {
    "tv_weight": Ladder(0.002, 1e-5, 1.0),
    "roughness_weight": Ladder(0.05, 1e-4, 20.0),
}
JUDGED_FROM = 32
"""Iterations that every run is given, however it starts."""


@dataclass(frozen=True)
class Subject:
    """An image to restore, how, and how well."""

    images: tuple[NDArray[np.generic], ...]
    """Counts (Z Y X) of one shape: the image, and what else the score needs the estimates of."""
    recipe: Recipe
    """Its λ is replaced."""
    score: Callable[[Sequence[FloatArray], Blur], float]
    """Of the estimates of the images after equally many iterations; higher = better."""

    @property
    def shape(self) -> Shape:
        """Z, Y, X of the images."""
        image = self.images[0]
        if image.ndim != 3:
            raise UserError(f"tuning: an image has {image.ndim} axes; three are needed (Z Y X)")
        z, y, x = image.shape
        return z, y, x


@dataclass(frozen=True)
class Trial:
    """One point of the search."""

    weight: float
    """λ of the prior; 0 = none."""
    iterations: int
    score: float
    """Mean over the subjects."""


@dataclass(frozen=True)
class TuningResult:
    """The chosen parameters and everything that was tried (`dataclasses.asdict` → JSON)."""

    weight: float
    """λ of the prior; 0 = none."""
    iterations: int
    score: float
    """Mean score of the choice."""
    curve: tuple[Trial, ...]
    """All points, by λ and then by iterations."""


def with_truth(
    images: Sequence[NDArray[np.generic]],
    truths: Sequence[NDArray[np.floating]],
    recipes: Sequence[Recipe],
) -> list[Subject]:
    """Pair images (Z Y X, counts) with the objects behind them, in any unit and with any offset."""

    def score(truth: NDArray[np.floating]) -> Callable[[Sequence[FloatArray], Blur], float]:
        measure = AffineScore(truth)
        return lambda estimates, model: measure(estimates[0])

    triples = zip(images, truths, recipes, strict=True)
    return [Subject((image,), recipe, score(truth)) for image, truth, recipe in triples]


def tune(
    subjects: Sequence[Subject],
    *,
    psf: ArrayLike,
    prior: Prior | None,
    tolerance: float = TOLERANCE_DB,
    threads: int = 1,
    max_iterations: int = 2000,
) -> TuningResult:
    """Find the iterations, and λ of a prior, that restore known volumes best.

    Parameters
    ----------
    subjects
        At least one.
    psf
        As for `operators.Blur`.
    prior
        Whose λ is searched; None = no prior.
    tolerance
        Difference of scores that counts as none.
    threads
        Threads in all; volumes are worked on side by side.
    max_iterations
        Where the search for the iterations ends.

    Returns
    -------
    TuningResult
        The choice, interior in iterations and λ, and the curves.

    Raises
    ------
    UserError
        If the optimum sits on an edge of the search, or an image or PSF is unusable.
    """
    if not subjects:
        raise ValueError("there is nothing to tune on")
    workers = min(threads, len(subjects))
    models = [s.recipe.model(s.shape, psf=psf, threads=threads // workers) for s in subjects]
    with ThreadPoolExecutor(workers) as pool:

        def scores_of(weight: float) -> Iterator[tuple[int, float]]:
            return _scores(subjects, models, prior, weight, max_iterations, pool)

        return search(scores_of, prior=prior, tolerance=tolerance)


def scores(
    subjects: Sequence[Subject], *, psf: ArrayLike, most: int, threads: int = 1
) -> Iterator[tuple[int, float]]:
    """Yield (iterations, mean score) at the checkpoints up to `most` iterations.

    Parameters are those of `tune`; the recipes' own λ is used.
    """
    workers = min(threads, len(subjects))
    models = [s.recipe.model(s.shape, psf=psf, threads=threads // workers) for s in subjects]
    with ThreadPoolExecutor(workers) as pool:
        yield from _scores(subjects, models, None, 0.0, most, pool)


def _scores(
    subjects: Sequence[Subject],
    models: Sequence[Blur],
    prior: Prior | None,
    weight: float,
    most: int,
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[int, float]]:
    runs = []
    for subject, model in zip(subjects, models, strict=True):
        recipe = subject.recipe.with_prior(prior, weight) if prior else subject.recipe
        runs.append([recipe.iterate(image, model=model) for image in subject.images])
    done = 0
    for k in checkpoints(most):
        steps = [k - done] * len(runs)
        yield k, float(np.mean(list(pool.map(_advance, runs, subjects, models, steps))))
        done = k


def search(
    scores_of: Callable[[float], Iterator[tuple[int, float]]],
    *,
    prior: Prior | None,
    tolerance: float = TOLERANCE_DB,
) -> TuningResult:
    """Find the interior optimum of scores that are computed as they are asked for.

    Parameters
    ----------
    scores_of
        For a λ, an iterator of (iterations, score) that ends at the most iterations.
    prior
        Whose λ is searched; None = λ is 0.
    tolerance
        Difference of scores that counts as none.

    Raises
    ------
    UserError
        If the optimum sits on an edge.
    """
    runs: dict[float, _Run] = {}
    ladder = LADDERS[prior or "tv_weight"]

    def score_at(exponent: int) -> float:
        """Score of λ = first × √3 ** exponent, computed once; -inf outside the limits."""
        weight = ladder.first * 3 ** (exponent / 2)
        if not ladder.least <= weight <= ladder.most:
            return -np.inf
        if weight not in runs:
            best = max((run.peak.score for run in runs.values()), default=-np.inf)
            runs[weight] = _Run.follow(scores_of(weight), weight, best, tolerance)
        return runs[weight].peak.score

    if prior is None:
        chosen = runs[0.0] = _Run.follow(scores_of(0.0), 0.0, -np.inf, tolerance)
    else:
        best = 0
        while (better := max((best, best - 2, best + 2), key=score_at)) != best:
            best = better
        score_at(best + max((-1, 1), key=lambda way: score_at(best + 2 * way)))
        chosen = max(runs.values(), key=lambda run: run.peak.score)
        if not np.isfinite(min(score_at(best - 2), score_at(best + 2))):
            raise UserError(
                f"tuning: the best {prior}, {chosen.peak.weight:.2g}, is at the edge of the search "
                f"({ladder.least:g} to {ladder.most:g}), so it is not known to be the best; at the "
                "low edge the prior does not help on these images: use the method rl, or set "
                f"{prior} and iterations yourself"
            )
    peak = chosen.peak
    log.info("tuning: chose λ %.2g and %d iterations", peak.weight, peak.iterations)
    curve = tuple(trial for weight in sorted(runs) for trial in runs[weight].trials)
    return TuningResult(peak.weight, peak.iterations, peak.score, curve)


@dataclass(frozen=True)
class _Run:
    """The scores of one λ: up to the end of its rise, or to where it was given up."""

    trials: tuple[Trial, ...]
    peak: Trial

    @classmethod
    def follow(
        cls,
        scores: Iterator[tuple[int, float]],
        weight: float,
        to_beat: float,
        tolerance: float,
    ) -> "_Run":
        """Take scores until the peak is known, or the best of other λ is out of reach."""
        trials: list[Trial] = []
        for k, score in scores:
            trials.append(Trial(weight, k, score))
            top = max(trial.score for trial in trials)
            peak = next(trial for trial in trials if trial.score >= top - tolerance)
            fallen = score < top - FALLEN * tolerance and k >= 1.25 * peak.iterations
            if k >= JUDGED_FROM and (
                fallen or k >= 2 * peak.iterations or _bound(trials) < to_beat
            ):
                break
        else:
            raise UserError(
                f"tuning: the quality still rises after {trials[-1].iterations} iterations "
                f"(λ {weight:.2g}), so the best number is not known; use "
                "acceleration: heavy_ball, or set the method's numbers yourself"
            )
        log.info(
            "tuning: λ %.2g: score %.5g at %d iterations (%d tried)",
            weight,
            peak.score,
            peak.iterations,
            trials[-1].iterations,
        )
        return cls(tuple(trials), peak)


def _bound(trials: Sequence[Trial]) -> float:
    """Bound the score that a run may still reach: twice the limit of its falling gains.

    The gains of the last two half-octaves of checkpoints are taken as a geometric series.
    """
    half = CHECKPOINTS_PER_OCTAVE // 2
    before, middle, now = (trials[-1 - half * i].score for i in (2, 1, 0))
    last, previous = now - middle, middle - before
    if last <= 0:
        return now
    return now + 2 * last**2 / (previous - last) if previous > last else np.inf


class AffineScore:
    """PSNR in dB against one truth after the affine least-squares match to it."""

    def __init__(self, truth: NDArray[np.floating]) -> None:
        self._centred = (truth - truth.mean(dtype=np.float64)).astype(np.float32)
        self._variance = float(np.mean(np.square(self._centred, dtype=np.float64)))
        self._range = float(truth.max()) - float(truth.min())
        if self._range == 0:
            raise UserError("tuning: a truth is flat; nothing can be scored against it")

    def __call__(self, estimate: FloatArray) -> float:
        """Score an estimate (Z Y X, any unit and offset)."""
        centred = estimate - np.float32(estimate.mean(dtype=np.float64))
        covariance = float(np.mean(centred * self._centred, dtype=np.float64))
        variance = float(np.mean(np.square(centred), dtype=np.float64))
        error = self._variance - (covariance**2 / variance if variance else 0.0)
        return float(10 * np.log10(self._range**2 / max(error, 1e-12 * self._range**2)))


def _advance(
    runs: Sequence[Iterator[tuple[int, FloatArray]]], subject: Subject, model: Blur, steps: int
) -> float:
    """Take some iterations of a subject's runs and score the last."""
    for _ in range(steps):
        estimates = [next(run)[1] for run in runs]
    return subject.score(estimates, model)


def checkpoints(most: int) -> list[int]:
    """Return 1 … `most` iterations, thinned to about 8 per octave."""
    steps = np.arange(0, np.log2(most) * CHECKPOINTS_PER_OCTAVE) / CHECKPOINTS_PER_OCTAVE
    return sorted({*np.round(2**steps).astype(int).tolist(), most})
