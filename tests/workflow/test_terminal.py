"""`decon3d run` on a tiny workflow: few lines, one per stage; Ctrl-C stops it and saves."""

import os
import signal
import subprocess
import sys
import time

import pytest

from support.paths import ROOT

SNAKEFILE = """
rule all:
    input: expand("out/{i}", i=[1, 2])
    localrule: True
    message: "Finished; open results/index.html"
rule restore_part_cpu:
    output: "out/{i}"
    log: "logs/d/{i}.log"
    script: "job.py"
"""
JOB = """
import os, time
from decon3d.errors import UserError
from decon3d.logs import job_log, log, progress
from decon3d.signals import catch_sigterm
with job_log(snakemake.log[0]), catch_sigterm() as told:
    log.warning("w%s.tif: 12 voxels are saturated", snakemake.wildcards.i)
    for k in progress(range(20), what="rl", unit="block", seconds=0):
        time.sleep(float(os.environ["STEP"]))
        if told():
            open("saved", "a").write("x")
            raise SystemExit(143)
    if os.environ.get("FAIL") == snakemake.wildcards.i:
        raise UserError("data/a.tif is damaged; copy it again")
open(snakemake.output[0], "w").close()
"""
CALL = """
import sys
from pathlib import Path
from decon3d.command.supervise import run_shown
sys.exit(run_shown(Path(sys.argv[1]), sys.argv[2:]))
"""


@pytest.fixture
def start(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "job.py").write_text(JOB)
    arguments = [ROOT / "scripts" / "run_snakemake.py", "--cores", "2", "--keep-going"]

    def start(*more, before=None, **environment):
        return subprocess.Popen(
            [sys.executable, "-c", CALL, *arguments, *more],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "STEP": "0", **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=before,
        )

    return start


def test_a_run_is_a_line_per_stage_and_a_failure_its_message_and_log(start, tmp_path):
    failed = start(FAIL="2")
    lines = failed.communicate()[0].splitlines()
    assert failed.returncode == 1 and len(lines) <= 7, lines
    message = "restore_part_cpu (2): data/a.tif is damaged; copy it again; log: logs/d/2.log"
    assert f"Failed: {message}" in lines
    assert sum("voxels are saturated" in line for line in lines) == 1
    again = start()
    lines = again.communicate()[0].splitlines()
    assert again.returncode == 0 and len(lines) <= 5, lines
    assert lines[-1].startswith("Finished; open results/index.html (took ")
    assert "rl: " in (tmp_path / "logs/run.log").read_text()  # nothing is lost
    assert "Nothing to do" in start().communicate()[0]
    wrong = start("--coers", "2").communicate()[0]
    assert wrong == "Error: unrecognized arguments: --coers; `snakemake --help` lists the options\n"
    planned = start("--dry-run", "--forceall").communicate()[0]
    assert "dry-run" in planned and "restore_part_cpu        2" in planned
    assert "jobid" not in planned


@pytest.mark.parametrize(
    ("number", "cause"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]
)
def test_a_stop_takes_seconds_names_its_cause_and_the_jobs_save(start, tmp_path, number, cause):
    run = start(STEP="0.5")
    logs = [tmp_path / "logs" / "d" / f"{i}.log" for i in (1, 2)]
    until = time.monotonic() + 60
    while not all(p.is_file() and "rl: " in p.read_text() for p in logs):
        assert run.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    run.send_signal(number)
    told = time.monotonic()
    output = run.communicate()[0]
    # Two seconds on an idle machine; without a stop, the jobs would go on for minutes.
    assert time.monotonic() - told < 30 and run.returncode == 130
    last = output.splitlines()[-1]
    assert last.startswith(f"Stopped by {cause}") and last.endswith(
        "Run the same command to go on."
    )
    assert "Traceback" not in output and (tmp_path / "saved").read_text() == "xx"
    assert not any((tmp_path / ".snakemake" / "locks").glob("*"))


def test_a_run_that_a_script_started_in_the_background_can_be_stopped(start, tmp_path):
    text = "import signal\nassert signal.getsignal(signal.SIGINT) == signal.default_int_handler\n"
    (tmp_path / "Snakefile").write_text(text + SNAKEFILE)

    def before():  # as a shell does for commands that it starts with `&`
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    run = start(before=before)
    assert "Finished" in run.communicate()[0] and run.returncode == 0
