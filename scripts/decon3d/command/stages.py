"""The stages of a run and their jobs: what `display` counts and times."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from decon3d.command.job_messages import JobLog

STAGES = {
    "Volumes": "simulate ingest camera_maps measure",
    "PSF": "psf psf_fit",
    "Training data": "phantoms likeness measured_pairs pairs_after_cpu pairs_after_gpu",
    "Training, tuning": "train tune",
    "Restoration": "restore_prepare restore_prepare_on_sample restore_plan restore_part_cpu "
    "restore_part_gpu restore_finish ingest_restored statistics_restored",
    "Evaluation": "restore_phantoms_cpu restore_phantoms_gpu evaluate evaluate_input "
    "evaluate_network evaluate_sample",
    "Instrument": "instrument instrument_beads instrument_camera instrument_page",
    "Preview": "preview preview_dataset",
    "Report": "report volume_page index all",
}
"""The rules of each stage, in the order of the data."""
STAGE_OF = {rule: stage for stage, rules in STAGES.items() for rule in rules.split()}
TYPICAL_S = {
    **{"simulate": 5.0, "ingest": 10.0, "camera_maps": 10.0, "measure": 10.0},
    **{"psf": 20.0, "psf_fit": 10.0, "phantoms": 30.0, "likeness": 10.0},
    **{"restore_prepare": 5.0, "restore_plan": 5.0, "restore_finish": 10.0, "index": 3.0},
    **{"statistics_restored": 5.0, "report": 40.0, "volume_page": 10.0, "instrument_page": 5.0},
    **{"all": 0.0, "preview": 0.0, "instrument": 0.0},
}
"""Seconds of short jobs, for the estimate until a job of the same rule has ended. The time of other
jobs depends on the data."""
BATCH = re.compile(r"(?P<rule>ingest\w*)\.(?P<of>.+)\.(?P<first>\d+)_to_(?P<last>\d+)")
"""Name of the rule that ingests many volumes (`jobs.Batch`)."""


def kind_of(rule: str) -> str:
    """Return the kind of a rule, by which it is timed and sorted into a stage: `ingest batch`."""
    found = BATCH.fullmatch(rule)
    return f"{found['rule']} batch" if found else rule


def stage_of(rule: str) -> str:
    """Return the name of a rule's stage."""
    return STAGE_OF.get(kind_of(rule).partition(" ")[0], rule)


def amount_of(rule: str) -> int:
    """Return how many volumes a job of a rule ingests; 1 for other rules."""
    found = BATCH.fullmatch(rule)
    return int(found["last"]) - int(found["first"]) + 1 if found else 1


def by_stage(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Sort the numbers of jobs, by their rules, into the stages, in the order of the data."""
    found: dict[str, dict[str, int]] = {name: {} for name in STAGES}
    for rule, count in sorted(counts.items()):
        found.setdefault(stage_of(rule), {})[rule] = count
    return {name: own for name, own in found.items() if sum(own.values())}


def volumes_in(counts: Mapping[str, int]) -> int:
    """Return the number of the dataset's own volumes that jobs, counted by rule, ingest."""
    ours = ("ingest", "ingest batch")
    return sum(n * amount_of(rule) for rule, n in counts.items() if kind_of(rule) in ours)


@dataclass
class Job:
    """A job that runs, or waits in the queue of a cluster.

    Attributes
    ----------
    since
        When it was started here, or submitted.
    begun
        When it began; None = it waits in the queue.
    ended
        When all its outputs were there, before the cluster has reported its end; None = not yet.
    """

    rule: str
    names: dict[str, str]
    log: JobLog | None
    since: float
    begun: float | None
    outputs: Sequence[Path] = ()
    ended: float | None = None
    _missing: dict[Path, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._missing = {path: _written(path) for path in self.outputs}

    def look(self, now: float) -> None:
        """Note whether a job elsewhere has begun, by its log, and has ended, by its outputs."""
        if self.begun is None and self.log and self.log.begun:
            self.begun = now
        for path, before in list(self._missing.items()):
            if _written(path) in (None, before):
                return
            del self._missing[path]
        if self.ended is None and self.outputs:
            self.ended = now

    @property
    def amount(self) -> int:
        """How many volumes it ingests; 1 for other jobs."""
        return amount_of(self.rule)

    @property
    def ingested(self) -> int:
        """How many volumes of the dataset it has ingested so far."""
        if not volumes_in({self.rule: 1}):
            return 0
        return self.amount if self.ended is not None else (self.log.count if self.log else 0)

    def title(self) -> str:
        """Name the job by its rule and wildcards."""
        if found := BATCH.fullmatch(self.rule):
            places = found["of"].replace(".", ", ")
            return f"{found['rule']} ({places}, volumes {found['first']} to {found['last']})"
        return f"{self.rule} ({', '.join(self.names.values())})" if self.names else self.rule


def _written(path: Path) -> int | None:
    """Return when a file was written; None = it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


@dataclass
class Stage:
    """The jobs of one stage.

    Attributes
    ----------
    total, done, failed
        Numbers of jobs of this run.
    before
        Number of jobs that an earlier run has done.
    volumes, ingested, ingested_before
        The same in volumes: of this run, done in it, and before it; 0 where none is ingested.
    """

    name: str
    total: int = 0
    done: int = 0
    failed: int = 0
    before: int = 0
    volumes: int = 0
    ingested: int = 0
    ingested_before: int = 0
    running: dict[int, Job] = field(default_factory=dict)
    since: float | None = None
    until: float | None = None

    @property
    def ended(self) -> bool:
        """Whether all jobs are finished or have failed."""
        return self.done + self.failed >= self.total and not self.running

    @property
    def jobs_done(self) -> int:
        """Number of jobs that are done: before, in this run, and not yet reported ones."""
        return self.before + self.done + sum(j.ended is not None for j in self.running.values())

    @property
    def count(self) -> str:
        """How much of the stage is done, in volumes or jobs."""
        if self.volumes:
            done = self.ingested + sum(job.ingested for job in self.running.values())
            return f"{self.ingested_before + done} of {self.ingested_before + self.volumes} volumes"
        return f"{self.jobs_done} of {self.before + self.total} jobs"
