"""What `decon3d run` shows: a line for each stage, and an estimate for the whole run.

`Run` follows a run by its events (`scripts/run_snakemake.py`) and the logs of its jobs. It depends
neither on Snakemake nor on the terminal.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from decon3d import paths
from decon3d.command.job_messages import JobLog
from decon3d.command.stages import (
    TYPICAL_S,
    Job,
    Stage,
    amount_of,
    by_stage,
    kind_of,
    stage_of,
    volumes_in,
)

NOTHING_TO_DO = "Nothing to be done"
RESTARTED = re.compile(r"Trying to restart job (\d+)\.")
FOLLOWS_A_FAILURE = {"CalledProcessError", "RuleException", "SpawnedJobError"}
"""Snakemake's errors that only repeat that a job failed; the event `job_error` has the details."""
SUMMARIES = (
    *("Exiting because a job execution failed", "At least one job did not complete"),
    *("WorkflowError:\nAt least one job did not complete", "Shutting down, this might"),
    "Will exit after finishing currently running jobs",
)
"""Beginnings of Snakemake's errors that only sum up others."""
LOCKED = (
    "Another run works in this folder; wait until it ends. If no run works here, one was killed: "
    "add --unlock to this command once."
)
SLURM_RUN = re.compile(r"SLURM run ID: (\S+)")
MOST_LOOKS = 100
"""Jobs whose files are looked at at once: file servers are slow."""
NO_MESSAGE = (
    f"no message in its log: it was killed, lacked memory, or could not start; see {paths.RUN_LOG}"
)


@dataclass
class Run:
    """The state of a run.

    Parameters
    ----------
    known
        Seconds of a job of each rule, from an earlier run.
    clock
        Seconds, as `time.monotonic`.
    """

    known: Mapping[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    stages: dict[str, Stage] = field(default_factory=dict)
    finished: str = ""
    nothing_to_do: bool = False
    cluster: str = ""
    """Snakemake's executor, unless the jobs run here."""
    slurm_name: str = ""
    """Name of the run's jobs in SLURM's queue."""
    _waiting: Counter[str] = field(default_factory=Counter)
    _times: dict[str, list[float]] = field(default_factory=dict)
    _busy: float = 0.0
    _looked: int = 0
    _said: set[str] = field(default_factory=set)
    _more_warnings: int = 0
    _failed: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start = self.clock()

    @property
    def failures(self) -> int:
        """Number of jobs that failed and do not run again."""
        return sum(stage.failed for stage in self.stages.values())

    @property
    def _jobs(self) -> dict[int, Job]:
        return {n: job for stage in self.stages.values() for n, job in stage.running.items()}

    def take(self, event: Mapping[str, Any]) -> list[str]:
        """Update the state by one event; return the lines to show above the stages."""
        handle = getattr(self, f"_on_{event['event']}", None)
        return handle(event) if handle else []

    def read_logs(self) -> list[str]:
        """Read the logs of some running jobs, in turn; return the new warnings to show."""
        jobs = list(self._jobs.values())
        first = self._looked if self._looked < len(jobs) else 0
        some = list(islice(jobs, first, first + MOST_LOOKS))
        self._looked = first + len(some)
        return [line for job in some for line in self._read(job)]

    def _read(self, job: Job) -> list[str]:
        if job.log:
            job.log.read()
        if job.ended is None and self.cluster:
            job.look(self.clock())
            if job.ended is not None:
                self._time(job, job.ended)
        if job.log is None:
            return []
        new, job.log.warnings = job.log.warnings, []
        return [line for text in new for line in self._warning(text)]

    def _time(self, job: Job, end: float) -> None:
        """Note how long a job took; time in the queue does not count."""
        if job.begun is not None and end > job.begun:
            self._busy += end - job.begun
            self._times.setdefault(kind_of(job.rule), []).append((end - job.begun) / job.amount)

    def _warning(self, text: str) -> list[str]:
        """Show one warning of each kind, and count those that differ only in file and numbers."""
        kind = re.sub(r"[\d.]+", "#", text.partition(": ")[2] or text)
        if kind in self._said:
            self._more_warnings += 1
            return []
        self._said.add(kind)
        return [f"Warning: {text}"]

    def _on_text(self, event: Mapping[str, Any]) -> list[str]:
        return [event["message"]]

    def _on_shown(self, event: Mapping[str, Any]) -> list[str]:
        self.cluster = "" if event["executor"] == "local" else event["executor"]
        return []

    def _on_run_info(self, event: Mapping[str, Any]) -> list[str]:
        if self.stages:  # Snakemake repeats this event at the end
            return []
        counts = {rule: n for rule, n in event.get("stats", {}).items() if rule != "total"}
        self._waiting.update(counts)
        for name, own in by_stage(counts).items():
            volumes = volumes_in(own)
            self.stages[name] = Stage(name, sum(own.values()), volumes=volumes)
        return []

    def _on_all_jobs(self, event: Mapping[str, Any]) -> list[str]:
        """Take the numbers of all jobs, with those that an earlier run has done."""
        for name, own in by_stage(event["stats"]).items():
            if stage := self.stages.get(name):
                stage.before = sum(own.values()) - stage.total
                stage.ingested_before = volumes_in(own) - stage.volumes
        jobs = sum(event["stats"].values())
        before = jobs - sum(stage.total for stage in self.stages.values())
        volumes = volumes_in(event["stats"])
        ingested = volumes - sum(stage.volumes for stage in self.stages.values())
        if before <= 0:
            return []
        of_volumes = f"{ingested} of {volumes} volumes are ingested, " if volumes else ""
        return [f"From earlier runs, {of_volumes}{before} of {jobs} jobs are done."]

    def _stage(self, rule: str) -> Stage:
        name = stage_of(rule)
        return self.stages.setdefault(name, Stage(name))

    def _on_job_info(self, event: Mapping[str, Any]) -> list[str]:
        rule, number, now = event["rule_name"], event["jobid"], self.clock()
        self._runs_again(number)
        logs, outputs = event.get("log") or [], event.get("output") or []
        queued = bool(self.cluster and logs and not event.get("local"))
        job = Job(
            rule,
            names=event.get("wildcards") or {},
            log=JobLog(Path(logs[0])) if logs else None,
            since=now,
            begun=None if queued else now,
            outputs=[Path(path) for path in outputs] if queued else (),
        )
        stage = self._stage(rule)
        stage.running[number] = job
        self._waiting[rule] -= 1
        stage.since, stage.until = stage.since or now, None
        if event.get("rule_msg"):
            self.finished = event["rule_msg"]
        return []

    def _on_job_finished(self, event: Mapping[str, Any]) -> list[str]:
        job = self._end(event["job_id"])
        if job is None:
            return []
        stage = self._stage(job.rule)
        stage.done += 1
        stage.ingested += volumes_in({job.rule: 1})
        if job.ended is None:
            self._time(job, self.clock())
        job.ended = self.clock()
        return self._read(job)

    def _end(self, number: int) -> Job | None:
        """Take a job out of the running ones of its stage; None = it does not run."""
        for stage in self.stages.values():
            if number in stage.running:
                stage.until = self.clock()
                return stage.running.pop(number)
        return None

    def _on_job_error(self, event: Mapping[str, Any]) -> list[str]:
        job = self._end(event["jobid"])
        if job is None:
            return []
        self._stage(job.rule).failed += 1
        self._failed[event["jobid"]] = job.rule
        lines = self._read(job)
        message = job.log.error if job.log else ""
        if event.get("indent") and not message:  # of a group, which `_on_group_error` reports
            return lines
        return [*lines, *_failure(job.title(), message, event.get("log") or [])]

    def _on_group_error(self, event: Mapping[str, Any]) -> list[str]:
        """Report the failure of a group, unless a job of it left a message to report."""
        running = self._jobs
        numbers = [info["jobid"] for info in event.get("job_error_info") or []]
        jobs = [running[number] for number in numbers if number in running]
        lines = [line for job in jobs for line in self._read(job)]
        if any(job.log and job.log.error for job in jobs):
            return lines
        rules = ", ".join(dict.fromkeys(job.rule for job in jobs))
        return [*lines, *_failure(f"a group of jobs ({rules})", "", event.get("aux_logs") or [])]

    def _on_message(self, event: Mapping[str, Any]) -> list[str]:
        text = event["message"]
        if found := SLURM_RUN.match(text):
            self.slurm_name = found[1]
        if text.startswith(NOTHING_TO_DO):
            self.nothing_to_do = True
        if found := RESTARTED.search(text):
            return self._restarted(int(found[1]))
        if event["level"] == "WARNING":
            return self._warning(" ".join(text.split()))
        return self._on_error(event) if event["level"] in ("ERROR", "CRITICAL") else []

    def _restarted(self, number: int) -> list[str]:
        rule = self._runs_again(number)
        return [f"The job {rule} runs again."] if rule else []

    def _runs_again(self, number: int) -> str:
        """Take back that a job has failed; return its rule, or nothing if it has not."""
        rule = self._failed.pop(number, "")
        if rule:
            self._stage(rule).failed -= 1
            self._waiting[rule] += 1
        return rule

    def _on_error(self, event: Mapping[str, Any]) -> list[str]:
        if event.get("exception") == "LockException":
            return [LOCKED]
        text = event["message"].strip()
        if event.get("exception") in FOLLOWS_A_FAILURE or text.startswith(SUMMARIES):
            return []
        if text in self._said:
            return []
        self._said.add(text)
        return [f"Error: {text}"]

    def seconds(self) -> dict[str, float]:
        """Return the seconds of a job of each rule, for the estimates of the next run."""
        return {**self.known, **{rule: sum(t) / len(t) for rule, t in self._times.items()}}

    def left(self) -> tuple[float, list[str]]:
        """Estimate the time to the end of the run.

        Returns
        -------
        seconds
            From the mean time of each rule's finished jobs, in this run or an earlier one, the
            progress of the running ones, and how many ran at a time so far.
        stages
            The stages with jobs of unknown length, or that run longer than expected. These are not
            included in the seconds.
        """
        now, known, work = self.clock(), {**TYPICAL_S, **self.seconds()}, 0.0
        running = [job for job in self._jobs.values() if job.ended is None]
        unknown: set[str] = set()
        for job in running:
            spent = 0.0 if job.begun is None else now - job.begun
            share = job.log.share if job.log else None
            expected = known.get(kind_of(job.rule), -1.0) * job.amount
            if share:
                work += spent * (1 - share) / share
            elif spent <= expected:
                work += expected - spent
            else:
                unknown.add(stage_of(job.rule))
        for rule, count in self._waiting.items():
            if count <= 0:
                continue
            if kind_of(rule) in known:
                work += count * amount_of(rule) * known[kind_of(rule)]
            else:
                unknown.add(stage_of(rule))
        busy = self._busy + sum(now - job.begun for job in running if job.begun is not None)
        at_once = max(1.0, busy / max(now - self.start, 1.0))
        return work / at_once, [name for name in self.stages if name in unknown]

    def stage_line(self, stage: Stage) -> str:
        """Return the line of one stage."""
        failed = f"{stage.failed} failed  " if stage.failed else ""
        return f"{stage.name:<17} {stage.count:>18}  {failed}{self._about(stage)}".rstrip()

    def _about(self, stage: Stage) -> str:
        running = [job for job in stage.running.values() if job.ended is None]
        if begun := [job for job in running if job.begun is not None]:
            told = [j for j in begun if j.log and j.log.share is not None]
            job = min(told or begun, key=lambda j: (j.log and j.log.share) or 0)
            more = f" (and {len(running) - 1} more)" if len(running) > 1 else ""
            spent = f"{job.title()}, {duration(self.clock() - (job.begun or job.since))}"
            return (job.log.progress if job.log and job.log.progress else spent) + more
        if running:
            waits = duration(self.clock() - min(job.since for job in running))
            return f"{_jobs(len(running))} in the queue, {waits}"
        if stage.running:
            often = " (asked at least every 3 min)" if self.cluster == "slurm" else ""
            last = max(job.ended or 0.0 for job in stage.running.values())
            ago = duration(self.clock() - last)
            return f"done {ago} ago; waiting for {self.where} to report it{often}"
        if stage.ended and stage.since is not None and stage.until is not None:
            return duration(stage.until - stage.since)
        return "waiting"

    @property
    def where(self) -> str:
        """Where jobs are queued, in words."""
        return "SLURM" if self.cluster == "slurm" else f"the executor {self.cluster}"

    def total_line(self) -> str:
        """Return the line of the whole run, with the estimate of the time left."""
        stages = self.stages.values()
        total = sum(stage.before + stage.total for stage in stages)
        count = f"{sum(stage.jobs_done for stage in stages)} of {total} jobs"
        return f"{'Whole run':<17} {count:>18}  {self._estimate()}".rstrip()

    def _estimate(self) -> str:
        seconds, unknown = self.left()
        queued = [job for job in self._jobs.values() if job.begun is None and job.ended is None]
        if queued and len(queued) == len(self._jobs):
            unknown = [*unknown, "the queue"]
        if not unknown:
            return f"about {duration(seconds)} left" if seconds >= 1 else ""
        names = ", ".join(unknown)
        return (
            f"more than {duration(seconds)} left; not known yet: {names}"
            if seconds >= 1
            else f"time left: not known yet ({names})"
        )

    def last_lines(self, code: int, *, output: Path) -> list[str]:
        """Return the last lines of a run that ended with the exit status `code`."""
        lines = []
        if self._more_warnings:
            lines.append(f"Other warnings of these kinds: {self._more_warnings}; see {output}")
        took = duration(self.clock() - self.start)
        if code == 0 and self.nothing_to_do:
            lines.append("Nothing to do: all results are up to date.")
            if Path(paths.INDEX).is_file():
                lines.append(f"Open {paths.INDEX}")
        elif code == 0:
            lines.append(f"{self.finished or 'Finished'} (took {took})")
        else:
            if self.failures:
                lines.append(
                    f"{_jobs(self.failures)} failed. The same command makes only what is missing."
                )
                if Path(paths.PARTIAL_REPORT).is_file() and Path(paths.INDEX).is_file():
                    lines.append(f"The pages show what exists; open {paths.INDEX}")
            lines.append(f"All messages: {output}")
        return lines


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _failure(title: str, message: str, logs: list[str]) -> list[str]:
    where = f"; log: {', '.join(logs)}" if logs else ""
    return [f"Failed: {title}: {(message or NO_MESSAGE).rstrip('.')}{where}"]


def duration(seconds: float) -> str:
    """Write a duration in one or two units; tables have one unit (`report.templating.duration`).

    Examples
    --------
    >>> duration(7.3), duration(130), duration(5400)
    ('7 s', '2 min 10 s', '1 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
