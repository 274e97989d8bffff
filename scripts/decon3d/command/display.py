"""What `decon3d run` shows: a line for each stage, and an estimate for the whole run.

`Run` follows a run by its events (`scripts/run_snakemake.py`) and the logs of its jobs. It depends
neither on Snakemake nor on the terminal.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decon3d import paths
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
NO_MESSAGE = (
    f"no message in its log: it was killed, lacked memory, or could not start; see {paths.RUN_LOG}"
)


@dataclass
class Job:
    """A job that runs."""

    rule: str
    names: dict[str, str]
    log: JobLog | None
    since: float

    def title(self) -> str:
        """Name the job by its rule and wildcards."""
        return f"{self.rule} ({', '.join(self.names.values())})" if self.names else self.rule


@dataclass
class Stage:
    """The jobs of one stage."""

    name: str
    total: int = 0
    done: int = 0
    failed: int = 0
    running: dict[int, Job] = field(default_factory=dict)
    since: float | None = None
    until: float | None = None

    @property
    def ended(self) -> bool:
        """Whether all jobs are finished or have failed."""
        return self.done + self.failed >= self.total and not self.running


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
    _waiting: Counter[str] = field(default_factory=Counter)
    _times: dict[str, list[float]] = field(default_factory=dict)
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
        """Read the logs of the running jobs; return the new warnings to show."""
        return [line for job in self._jobs.values() for line in self._read(job)]

    def _read(self, job: Job) -> list[str]:
        if job.log is None:
            return []
        job.log.read()
        new, job.log.warnings = job.log.warnings, []
        return [line for text in new for line in self._warning(text)]

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

    def _on_run_info(self, event: Mapping[str, Any]) -> list[str]:
        if self.stages:  # Snakemake repeats this event at the end
            return []
        counts = {rule: n for rule, n in event.get("stats", {}).items() if rule != "total"}
        self._waiting.update(counts)
        for name in [*STAGES, *sorted(set(counts) - set(STAGE_OF))]:
            total = sum(n for rule, n in counts.items() if STAGE_OF.get(rule, rule) == name)
            if total:
                self.stages[name] = Stage(name, total)
        return []

    def _stage(self, rule: str) -> Stage:
        name = STAGE_OF.get(rule, rule)
        return self.stages.setdefault(name, Stage(name))

    def _on_job_info(self, event: Mapping[str, Any]) -> list[str]:
        rule, number, now = event["rule_name"], event["jobid"], self.clock()
        logs = event.get("log") or []
        job = Job(rule, event.get("wildcards") or {}, JobLog(Path(logs[0])) if logs else None, now)
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
        self._stage(job.rule).done += 1
        self._times.setdefault(job.rule, []).append(self.clock() - job.since)
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
        if text.startswith(NOTHING_TO_DO):
            self.nothing_to_do = True
        if found := RESTARTED.search(text):
            return self._restarted(int(found[1]))
        if event["level"] == "WARNING":
            return self._warning(" ".join(text.split()))
        return self._on_error(event) if event["level"] in ("ERROR", "CRITICAL") else []

    def _restarted(self, number: int) -> list[str]:
        rule = self._failed.pop(number, None)
        if rule is None:
            return []
        self._stage(rule).failed -= 1
        self._waiting[rule] += 1
        return [f"The job {rule} runs again."]

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
            The stages with jobs of unknown length, which are not included in the seconds.
        """
        now, known, work = self.clock(), {**TYPICAL_S, **self.seconds()}, 0.0
        running = self._jobs.values()
        unknown: set[str] = set()
        for job in running:
            spent, share = now - job.since, job.log.share if job.log else None
            if share:
                work += spent * (1 - share) / share
            elif job.rule in known:
                work += max(0.0, known[job.rule] - spent)
            else:
                unknown.add(STAGE_OF.get(job.rule, job.rule))
        for rule, count in self._waiting.items():
            if count <= 0:
                continue
            if rule in known:
                work += count * known[rule]
            else:
                unknown.add(STAGE_OF.get(rule, rule))
        busy = sum(map(sum, self._times.values()))
        busy += sum(now - job.since for job in running)
        at_once = max(1.0, busy / max(now - self.start, 1.0))
        return work / at_once, [name for name in self.stages if name in unknown]

    def stage_line(self, stage: Stage) -> str:
        """Return the line of one stage."""
        count = f"{stage.done} of {stage.total}"
        failed = f"{stage.failed} failed  " if stage.failed else ""
        return f"{stage.name:<17} {count:>12}  {failed}{self._about(stage)}".rstrip()

    def _about(self, stage: Stage) -> str:
        if stage.running:
            told = [j for j in stage.running.values() if j.log and j.log.share is not None]
            job = min(told or stage.running.values(), key=lambda j: (j.log and j.log.share) or 0)
            more = f" (and {len(stage.running) - 1} more)" if len(stage.running) > 1 else ""
            spent = f"{job.title()}, {duration(self.clock() - job.since)}"
            return (job.log.progress if job.log and job.log.progress else spent) + more
        if stage.since is None:
            return "waiting"
        if stage.ended and stage.until is not None:
            return duration(stage.until - stage.since)
        return ""

    def total_line(self) -> str:
        """Return the line of the whole run, with the estimate of the time left."""
        done = sum(stage.done for stage in self.stages.values())
        total = sum(stage.total for stage in self.stages.values())
        return f"{'Whole run':<17} {f'{done} of {total}':>12}  {self._estimate()}"

    def _estimate(self) -> str:
        seconds, unknown = self.left()
        if not unknown:
            return f"about {duration(seconds)} left"
        names = ", ".join(unknown)
        return (
            f"more than {duration(seconds)} left; not timed yet: {names}"
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
                jobs = "1 job" if self.failures == 1 else f"{self.failures} jobs"
                lines.append(f"{jobs} failed. The same command makes only what is missing.")
                if Path(paths.PARTIAL_REPORT).is_file() and Path(paths.INDEX).is_file():
                    lines.append(f"The pages show what exists; open {paths.INDEX}")
            lines.append(f"All messages: {output}")
        return lines


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
