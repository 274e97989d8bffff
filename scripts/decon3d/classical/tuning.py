"""Fair tuning of Richardson-Lucy: at an interior optimum, or with what it lacks stated.

A baseline is only as strong as its parameters: a table made with a search that ended too early
understates the method. The rule:

- **Iterations.** For a given λ, one run is scored at geometrically spaced checkpoints until the
  score has fallen past its peak or has not risen by more than a tolerance while the iterations
  doubled, or until, by the trend of its gains, it cannot reach the best of another λ.
  The peak is the *first* checkpoint within that tolerance of the best.
- **λ.** The search climbs from one λ by factors of 3 until both neighbours of the best are worse,
  then tries the middle (a factor of √3) towards the better neighbour.
- **Coarse to fine.** For each λ, the iterations on the coarse grid are chosen first: half of the
  number that is best for the binned images and truths (`COARSE_SHARE`). Then one run from there
  passes all numbers of iterations on the full grid.
- **Limits.** Bright widefield images gain for thousands of iterations, ever less. So the iterations
  of a run are limited, and those of all runs together; λ has a least and a most value. The result
  says at which limit the search ended.
- **What is still to gain** is always stated: the best score that any run may still reach, above
  the chosen one's. A run that has not passed its peak may gain as much again as in its last
  doubling of the iterations, as if each doubling gained half as much as the one before; a λ that
  was not tried, as much as the best λ gained on the next best.

Score: with a truth, PSNR in dB after the affine least-squares match of the estimate to it, with
R = max - min of the truth, on whole volumes (tolerance 0.05 dB); without, the negative predicted
error (`risk`). It is averaged over the volumes.

On confocal and widefield phantoms of 50 to 2,000 photons, the tolerance costs 0.03 dB on average
and 0.07 at most. At 500 photons, widefield, 141 iterations are tried per λ, and 195 with 0.01 dB.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decon3d.classical.kind import Prior
from decon3d.classical.operators import Blur, Shape
from decon3d.classical.recipe import Recipe
from decon3d.classical.richardson_lucy import FloatArray
from decon3d.errors import UserError
from decon3d.logs import log

CHECKPOINTS_PER_OCTAVE = 8
TOLERANCE_DB = 0.05
"""Differences below this count as equal; of equals, the fewest iterations are chosen."""
FALLEN = 2
"""A score that is so many tolerances below the best is past its peak."""
CLIMB = 0.2
"""A λ with a score that is better by so many tolerances is worth another step of the search."""
MOST_ITERATIONS = 500
"""Most iterations at one λ."""
MOST_IN_ALL = 2000
"""Most iterations at all λ together."""


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
"""Iterations that every run is given, however its scores begin."""
JUDGED_FROM_COARSE = 12
"""The same for runs on the coarse grid, and for those that start from it."""
COARSE_SHARE = 0.5
"""Iterations on the coarse grid, relative to the number that is best there."""


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
class CoarseSubjects:
    """Binned images of the same subjects, on which the coarse iterations are chosen."""

    subjects: Sequence[Subject]
    psf: FloatArray
    """Of the coarse grid."""
    most: int
    """Most iterations that may be chosen; see `coarse_to_fine.most_coarse`."""

    def chosen(self, best: int) -> int:
        """Return the iterations on the coarse grid, given the number that is best there."""
        return min(max(1, round(COARSE_SHARE * best)), self.most)

    @property
    def last(self) -> int:
        """Number beyond which the best makes no difference."""
        return max(8, round(self.most / COARSE_SHARE))


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
    to_gain: float
    """What more iterations, or other λ that were cut short, may still add to the score."""
    ended_by: str | None
    """The limit at which the search ended; None = at none."""
    curve: tuple[Trial, ...]
    """All points, by λ and then by iterations."""
    coarse_iterations: int = 0
    """Iterations on the coarse grid before these; 0 = none."""


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
    max_iterations: int = MOST_ITERATIONS,
    coarse: CoarseSubjects | None = None,
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
        Most iterations at one λ.
    coarse
        The subjects on the coarse grid, where the recipes go coarse to fine; else None.

    Returns
    -------
    TuningResult
        The choice, what is still to gain, and the curves.

    Raises
    ------
    UserError
        If an image or PSF is unusable.
    """
    if not subjects:
        raise ValueError("there is nothing to tune on")
    fine = _Trials(subjects, psf, threads)
    first = None if coarse is None else _Trials(coarse.subjects, coarse.psf, threads)
    starts: dict[float, int] = {}
    with ThreadPoolExecutor(fine.workers) as pool:

        def scores_of(weight: float, most: int) -> Iterator[tuple[int, float]]:
            if first is not None and coarse is not None:
                found = first.scores(pool, coarse.last, prior, weight)
                peak = _Run.follow(found, weight, -np.inf, tolerance, JUDGED_FROM_COARSE).peak
                starts[weight] = coarse.chosen(peak.iterations)
            return fine.scores(pool, most, prior, weight, starts.get(weight, 0))

        result = search(
            scores_of,
            prior=prior,
            tolerance=tolerance,
            most=max_iterations,
            judged_from=JUDGED_FROM if first is None else JUDGED_FROM_COARSE,
        )
    return replace(result, coarse_iterations=starts.get(result.weight, 0))


def scores(
    subjects: Sequence[Subject], *, psf: ArrayLike, most: int, threads: int = 1
) -> Iterator[tuple[int, float]]:
    """Yield (iterations, mean score) at the checkpoints up to `most` iterations.

    Parameters are those of `tune`; the recipes' own λ is used.
    """
    trials = _Trials(subjects, psf, threads)
    with ThreadPoolExecutor(trials.workers) as pool:
        yield from trials.scores(pool, most)


class _Trials:
    """Subjects and their models."""

    def __init__(self, subjects: Sequence[Subject], psf: ArrayLike, threads: int) -> None:
        self.workers = min(threads, len(subjects))
        self._subjects = subjects
        share = threads // self.workers
        self._models = [s.recipe.model(s.shape, psf=psf, threads=share) for s in subjects]

    def scores(
        self,
        pool: ThreadPoolExecutor,
        most: int,
        prior: Prior | None = None,
        weight: float = 0.0,
        coarse_iterations: int = 0,
    ) -> Iterator[tuple[int, float]]:
        """Yield (iterations, mean score) at the checkpoints."""
        numbers = checkpoints(most)
        runs = []
        for subject, model in zip(self._subjects, self._models, strict=True):
            recipe = subject.recipe.with_prior(prior, weight) if prior else subject.recipe
            if coarse_iterations:
                recipe = replace(recipe, coarse_iterations=coarse_iterations)
            runs.append(
                [recipe.estimates(i, model=model, iterations=numbers) for i in subject.images]
            )
        for k in numbers:
            yield k, float(np.mean(list(pool.map(_advance, runs, self._subjects, self._models))))


class _ExhaustedError(Exception):
    """No iterations are left for a further λ."""


def search(
    scores_of: Callable[[float, int], Iterator[tuple[int, float]]],
    *,
    prior: Prior | None,
    tolerance: float = TOLERANCE_DB,
    most: int = MOST_ITERATIONS,
    in_all: int = MOST_IN_ALL,
    judged_from: int = JUDGED_FROM,
) -> TuningResult:
    """Find the best of scores that are computed as they are asked for.

    Parameters
    ----------
    scores_of
        For a λ and the most iterations, an iterator of (iterations, score).
    prior
        Whose λ is searched; None = λ is 0.
    tolerance
        Difference of scores that counts as none.
    most, in_all
        Most iterations at one λ, and at all λ together.
    judged_from
        Iterations that every run is given.
    """
    runs: dict[float, _Run] = {}
    ladder = LADDERS[prior or "tv_weight"]

    def run_at(weight: float) -> None:
        left = in_all - sum(run.trials[-1].iterations for run in runs.values())
        if left < min(judged_from, most):
            raise _ExhaustedError
        best = max((run.peak.score for run in runs.values()), default=-np.inf)
        scores = scores_of(weight, min(most, left))
        runs[weight] = _Run.follow(scores, weight, best, tolerance, judged_from)

    def score_at(exponent: int) -> float:
        """Score of λ = first × √3 ** exponent, computed once; -inf outside the limits."""
        weight = ladder.first * 3 ** (exponent / 2)
        if not ladder.least <= weight <= ladder.most:
            return -np.inf
        if weight not in runs:
            run_at(weight)
        return runs[weight].peak.score

    ended_by, untried = None, 0.0
    try:
        if prior is None:
            run_at(0.0)
        else:
            ended_by = _climb(score_at, prior, ladder, tolerance * CLIMB)
    except _ExhaustedError:
        ended_by = f"{in_all} iterations in all"
        peaks = sorted((run.peak.score for run in runs.values()), reverse=True)
        untried = peaks[0] - peaks[1] if len(peaks) > 1 else np.inf
    peak = max(runs.values(), key=lambda run: run.peak.score).peak
    if not ended_by and any(run.cut and run.reach > peak.score for run in runs.values()):
        ended_by = f"{most} iterations"
    to_gain = max(run.reach for run in runs.values()) - peak.score + untried
    log.info("tuning: chose λ %.2g and %d iterations", peak.weight, peak.iterations)
    if ended_by:
        log.warning(
            "tuning: the search ended at a limit (%s); about %.2g may still be gained",
            ended_by,
            to_gain,
        )
    curve = tuple(trial for weight in sorted(runs) for trial in runs[weight].trials)
    return TuningResult(peak.weight, peak.iterations, peak.score, to_gain, ended_by, curve)


def _climb(
    score_at: Callable[[int], float], prior: Prior, ladder: Ladder, tolerance: float
) -> str | None:
    """Try λ until both neighbours of the best are worse, and the middle to the better one.

    Returns
    -------
    str or None
        The edge of the ladder at which the best λ lies; None = within.
    """
    best = 0
    while score_at(better := max((best - 2, best + 2), key=score_at)) > score_at(best) + tolerance:
        best = better
    score_at(best + max((-1, 1), key=lambda way: score_at(best + 2 * way)))
    if not np.isfinite(score_at(best - 2)):
        return f"{prior} {ladder.least:g}: the prior does not help on these images"
    if not np.isfinite(score_at(best + 2)):
        return f"{prior} {ladder.most:g}"
    return None


@dataclass(frozen=True)
class _Run:
    """The scores of one λ: up to the end of its rise, or to where it was given up."""

    trials: tuple[Trial, ...]
    peak: Trial
    reach: float
    """The score that more iterations may reach: see the module."""
    cut: bool
    """It was rising at the most iterations."""

    @classmethod
    def follow(
        cls,
        scores: Iterator[tuple[int, float]],
        weight: float,
        to_beat: float,
        tolerance: float,
        judged_from: int,
    ) -> "_Run":
        """Take scores until the peak is known, or the best of other λ is out of reach."""
        trials: list[Trial] = []
        cut, reach = True, None
        for k, score in scores:
            trials.append(Trial(weight, k, score))
            top = max(trial.score for trial in trials)
            peak = next(trial for trial in trials if trial.score >= top - tolerance)
            if k < judged_from:
                continue
            if score < top - FALLEN * tolerance and k >= 1.25 * peak.iterations:
                cut, reach = False, top
            elif k >= 2 * peak.iterations:
                cut = False
            elif (limit := _bound(trials)) < to_beat:
                cut, reach = False, limit
            if not cut:
                break
        if reach is None:
            before = max(t.score for t in trials if t.iterations <= max(1, k / 2))
            reach = top + max(0.0, score - before)
        log.info(
            "tuning: λ %.2g: score %.5g at %d iterations (%d tried)",
            weight,
            peak.score,
            peak.iterations,
            k,
        )
        return cls(tuple(trials), peak, reach, cut)


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
            raise UserError("tuning: a truth is constant, so no score can be computed; remove it")

    def __call__(self, estimate: FloatArray) -> float:
        """Score an estimate (Z Y X, any unit and offset)."""
        centred = estimate - np.float32(estimate.mean(dtype=np.float64))
        covariance = float(np.mean(centred * self._centred, dtype=np.float64))
        variance = float(np.mean(np.square(centred), dtype=np.float64))
        error = self._variance - (covariance**2 / variance if variance else 0.0)
        return float(10 * np.log10(self._range**2 / max(error, 1e-12 * self._range**2)))


def _advance(
    runs: Sequence[Iterator[tuple[int, FloatArray]]], subject: Subject, model: Blur
) -> float:
    """Score the next estimates of a subject's runs."""
    return subject.score([next(run)[1] for run in runs], model)


def checkpoints(most: int) -> list[int]:
    """Return 1 … `most` iterations, thinned to about 8 per octave."""
    steps = np.arange(0, np.log2(most) * CHECKPOINTS_PER_OCTAVE) / CHECKPOINTS_PER_OCTAVE
    return sorted({*np.round(2**steps).astype(int).tolist(), most})
