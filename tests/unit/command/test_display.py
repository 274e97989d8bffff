"""What `decon3d run` shows of a run, from a made-up stream of events and logs."""

import os
import re
from pathlib import Path

import pytest

from decon3d.command.display import Run, duration
from decon3d.command.job_messages import JobLog
from decon3d.command.stages import STAGE_OF
from decon3d.errors import UserError
from decon3d.logs import job_log, log, progress
from support.paths import ROOT


class Events:
    """A run whose clock the test sets."""

    def __init__(self, known=None, **counts):
        self.now = 0.0
        self.run = Run(known=known or {}, clock=lambda: self.now)
        self.lines = []
        self.tell("run_info", stats={**counts, "total": sum(counts.values())})

    def tell(self, event, level="INFO", message="", **fields):
        self.lines += self.run.take({"event": event, "level": level, "message": message, **fields})

    def start(self, number, rule, log=None, **names):
        more = {key: names.pop(key) for key in ("output",) if key in names}
        logs = [log] if log else []
        self.tell("job_info", jobid=number, rule_name=rule, wildcards=names, log=logs, **more)

    def finish(self, number):
        self.tell("job_finished", job_id=number)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_rule_of_the_workflow_has_a_stage():
    found = set()
    for path in (ROOT / "workflow").rglob("*"):
        if path.suffix == ".smk" or path.name == "Snakefile":
            found |= set(re.findall(r"^rule (\w+):", path.read_text(), re.MULTILINE))
            found |= set(re.findall(r"^use rule \w+ as (\w+)", path.read_text(), re.MULTILINE))
    assert len(found) > 30 and found - set(STAGE_OF) == {"verify"}
    assert set(STAGE_OF) <= found


def test_a_stage_has_one_line_with_the_rate_and_time_left(here):
    events = Events(ingest=1, restore_part_cpu=3)
    events.start(1, "ingest")
    events.now = 4.0
    events.finish(1)
    events.start(2, "restore_part_cpu", log="part.log", dataset="worm", method="rl")
    Path("part.log").write_text(
        "10:00:00 I Host vm\n10:00:05 I rl: 1/4 Mvoxel (25 %), 3.2 Mvoxel/s, 00:27 left\n10:00"
    )
    assert events.run.read_logs() == []
    lines = [events.run.stage_line(stage) for stage in events.run.stages.values()]
    assert [re.sub(" +", " ", line) for line in lines] == [
        "Volumes 1 of 1 volumes 4 s",
        "Restoration 0 of 3 jobs rl: 25 %, 3.2 Mvoxel/s, 00:27 left",
    ]


def test_the_estimate_counts_running_waiting_and_unknown_jobs(here):
    events = Events(known={"restore_part_cpu": 100.0}, restore_part_cpu=3, train=1)
    events.start(1, "restore_part_cpu", log="part.log")
    events.now = 30.0
    assert events.run.left() == (70.0 + 2 * 100.0, ["Training, tuning"])
    assert "more than 4 min 30 s left; not known yet: Training" in events.run.total_line()
    events.start(2, "train", log="train.log")
    Path("train.log").write_text("10:00:00 I training: 1/4 steps (25 %), 1 steps/s, 00:30 left\n")
    events.now = 50.0
    events.run.read_logs()
    seconds, unknown = events.run.left()
    assert unknown == [] and seconds == pytest.approx((50 + 200 + 60) / (70 / 50))
    assert "about" in events.run.total_line()


def shown(events):
    """The lines of the stages and of the whole run, without columns."""
    lines = [events.run.stage_line(stage) for stage in events.run.stages.values()]
    return [re.sub(" +", " ", line) for line in [*lines, events.run.total_line()]]


def test_volumes_are_counted_while_one_job_ingests_many(here):
    events = Events(**{"ingest.d.1_to_50": 1, "ingest.d.51_to_60": 1, "ingest": 1, "measure": 1})
    events.start(1, "ingest.d.1_to_50", log="a.log")
    events.start(2, "ingest", log="b.log", dataset="d", volume="large")
    assert (
        shown(events)[0] == "Volumes 0 of 61 volumes ingest (d, volumes 1 to 50), 0 s (and 1 more)"
    )
    line = "10:00:01 I ingest: 30/50 volumes (60 %), 29.7 volumes/s, 00:01 left\n"
    Path("a.log").write_text(line)
    events.run.read_logs()
    assert shown(events)[0].startswith("Volumes 30 of 61 volumes ingest: 60 %, 29.7 volumes/s")
    Path("a.log").write_text(line + line.replace("30/50", "50/50").replace("60 %", "100 %"))
    events.run.read_logs()
    assert "50 of 61 volumes" in shown(events)[0]
    events.now = 5.0
    events.finish(1)
    events.finish(2)
    assert shown(events)[0] == "Volumes 51 of 61 volumes waiting"
    assert events.run.seconds() == {"ingest batch": 0.1, "ingest": 5.0}  # of a volume
    # 10 volumes of a batch, and `measure`; 2 jobs at once
    assert events.run.left() == ((10 * 0.1 + 10.0) / 2, [])


def test_a_resumed_run_counts_from_what_is_done(here):
    events = Events(**{"ingest.d.51_to_100": 1, "measure": 1, "report": 1})
    every = {"ingest.d.1_to_50": 1, "ingest.d.51_to_100": 1, "measure": 1, "psf": 1, "report": 1}
    events.tell("all_jobs", stats=every)
    said = "From earlier runs, 50 of 100 volumes are ingested, 2 of 5 jobs are done."
    assert events.lines == [said]
    assert shown(events)[0] == "Volumes 50 of 100 volumes waiting"
    assert shown(events)[-1].startswith("Whole run 1 of 4 jobs")


def test_a_group_on_a_cluster_moves_with_its_outputs(here):
    """Snakemake reports the start and the end of all its jobs at once."""
    events = Events(ingest=3)
    events.tell("shown", executor="slurm")
    events.tell("message", message="SLURM run ID: decon3d_1-2")
    assert events.run.slurm_name == "decon3d_1-2"
    Path("2.json").touch()  # of an earlier run
    for number in range(3):
        events.start(
            number, "ingest", log=f"{number}.log", output=[f"{number}.{e}" for e in ("json", "npz")]
        )
    events.now = 60.0
    assert shown(events) == [
        "Volumes 0 of 3 volumes 3 jobs in the queue, 1 min 0 s",
        "Whole run 0 of 3 jobs more than 30 s left; not known yet: the queue",
    ]
    Path("0.log").write_text("10:00:00 I Host vm\n")
    events.run.read_logs()
    events.now = 64.0
    assert shown(events) == [
        "Volumes 0 of 3 volumes ingest, 4 s (and 2 more)",
        "Whole run 0 of 3 jobs about 26 s left",
    ]
    Path("0.npz").touch()
    events.run.read_logs()
    assert "Volumes 0 of 3" in shown(events)[0]
    Path("0.json").touch()
    events.run.read_logs()
    assert events.run.seconds() == {"ingest": 4.0}  # without the queue
    assert shown(events)[0] == "Volumes 1 of 3 volumes 2 jobs in the queue, 1 min 4 s"
    for number in (1, 2):
        Path(f"{number}.log").write_text("10:00:00 I Host vm\n")
        Path(f"{number}.npz").touch()
        os.utime(write(f"{number}.json"), ns=(1, 1))
    events.run.read_logs()
    waiting = "done 0 s ago; waiting for SLURM to report it (asked at least every 3 min)"
    assert shown(events) == [f"Volumes 3 of 3 volumes {waiting}", "Whole run 3 of 3 jobs"]
    for number in range(3):
        events.finish(number)
    assert shown(events)[0] == "Volumes 3 of 3 volumes 1 min 4 s"


def write(path):
    Path(path).write_text("{}")
    return path


def test_no_time_is_shown_for_a_job_that_takes_longer_than_expected(here):
    events = Events(known={"restore_part_cpu": 10.0}, restore_part_cpu=1, report=1)
    events.start(1, "restore_part_cpu")
    events.now = 4.0
    assert "about 46 s left" in events.run.total_line()
    events.now = 30.0
    assert "more than 40 s left; not known yet: Restoration" in events.run.total_line()


def test_a_group_that_runs_again_has_not_failed(here):
    events = Events(ingest=2)
    for _ in range(2):
        for number in (1, 2):
            events.start(number, "ingest")
        for number in (1, 2):
            events.tell("job_error", "ERROR", jobid=number, indent=True)
    assert events.run.failures == 2 and events.run.left() == (0.0, [])


def test_a_job_goes_on_after_a_loop(here):
    events = Events(evaluate=1, report=1)
    events.start(1, "evaluate", log="e.log", dataset="d", method="rl")
    Path("e.log").write_text("10:00:05 I map: 4/4 voxel (100 %), 3 voxel/s, 00:00 left\n")
    events.now = 65.0
    events.run.read_logs()
    assert events.run.stage_line(events.run.stages["Evaluation"]).endswith(
        "evaluate (d, rl), 1 min 5 s"
    )
    assert events.run.left() == (40.0, ["Evaluation"])


def test_a_warning_is_shown_once_for_all_volumes(here):
    events = Events(ingest=3)
    for number in range(3):
        events.start(number, "ingest", log=f"{number}.log")
        Path(f"{number}.log").write_text(
            f"10:00:00 W w{number}.tif: {number} voxels are saturated\n"
            "10:00:00 W /lib/a.py:12: FutureWarning: of a library\n"
        )
        events.finish(number)
    assert events.lines == ["Warning: w0.tif: 0 voxels are saturated"]
    last = events.run.last_lines(0, output=Path("run.log"))
    assert last[0] == "Other warnings of these kinds: 2; see run.log"


def test_a_failure_is_its_message_and_its_log_and_a_retry_is_no_failure(here):
    events = Events(train=1, ingest=1)
    for attempt in range(2):
        events.start(7, "train", log="train.log", method="rln")
        Path("train.log").write_text(
            "10:00:00 E unexpected KeyError: 'a'; traceback in train.log\nTraceback (most …\n"
        )
        events.tell("error", "ERROR", "CalledProcessError in file …", exception="RuleException")
        events.tell("job_error", "ERROR", jobid=7, log=["train.log"])
        if not attempt:
            events.tell("message", message="Trying to restart job 7.")
            assert events.run.failures == 0
    failed = "Failed: train (rln): unexpected KeyError: 'a'; traceback in train.log; log: train.log"
    assert events.lines == [failed, "The job train runs again.", failed]
    assert events.run.failures == events.run.stages["Training, tuning"].failed == 1
    assert "1 job failed" in events.run.last_lines(1, output=Path("o"))[0]


def test_a_job_without_a_message_and_a_group_are_told_once(here):
    events = Events(ingest=2, psf=1)
    events.start(1, "psf")
    events.tell("job_error", "ERROR", jobid=1, log=["slurm.log"])
    events.start(2, "ingest")
    events.start(3, "ingest")
    jobs = [{"jobid": 2}, {"jobid": 3}]
    events.tell("group_error", "ERROR", job_error_info=jobs, aux_logs=["group.log"])
    for number in (2, 3):
        events.tell("job_error", "ERROR", jobid=number, indent=True, log=["group.log"])
    assert len(events.lines) == 2 and events.run.failures == 3
    assert "psf: no message in its log" in events.lines[0] and "slurm.log" in events.lines[0]
    assert "a group of jobs (ingest)" in events.lines[1] and "group.log" in events.lines[1]


def test_errors_of_the_run_are_shown_and_a_lock_says_what_to_do(here):
    events = Events(psf=1)
    for _ in range(2):
        events.tell("error", "ERROR", "MissingInputException: a.tif", exception="MissingInput")
    events.tell("error", "ERROR", "Error: Directory cannot …", exception="LockException")
    events.tell("message", "ERROR", "Exiting because a job execution failed. Look above.")
    assert events.lines[0] == "Error: MissingInputException: a.tif" and len(events.lines) == 2
    assert "add --unlock" in events.lines[1]


def test_the_log_that_a_job_writes_is_understood(tmp_path):
    path = tmp_path / "job.log"
    read = JobLog(path)
    with job_log(path), progress(total=18648576, what="rl part 1", unit="voxel", seconds=0) as bar:
        log.warning("a.tif: 3 voxels are saturated")
        bar.update(4662144)
        read.read()
        assert read.share == 0.25 and read.warnings == ["a.tif: 3 voxels are saturated"]
        title, share, rate, left = re.split(": |, ", read.progress)
        assert (title, share) == ("rl part 1", "25 %")
        assert rate.endswith("voxel/s") and left.endswith(" left")
    with pytest.raises(SystemExit), job_log(path):
        raise UserError("a.tif is damaged; copy it again")
    read.read()
    assert read.error == "a.tif is damaged; copy it again"


def test_a_log_of_an_earlier_run_says_nothing_and_one_begun_again_is_read_from_the_start(tmp_path):
    path = tmp_path / "job.log"
    path.write_text("10:00:00 E old\n")
    log = JobLog(path)
    log.read()
    assert log.error == ""
    path.write_text("10:00:01 W " + 200 * "x" + "\n")
    log.read()
    path.write_text("10:00:02 E new\n")
    log.read()
    assert log.error == "new" and len(log.warnings) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (130, "2 min 10 s"), (3599, "60 min"), (5400, "1 h 30 min")],
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text
