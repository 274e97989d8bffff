"""A job that hangs ends: with one line, its threads in the log, and status 1."""

import os
import signal
import subprocess
import sys
import time

import pytest

from support.paths import ROOT

JOB = """
import ctypes, sys, threading, time
from decon3d import watchdog
from decon3d.logs import job_log, progress
watchdog.IDLE_SECONDS, watchdog.TICK_SECONDS = 1.0, 0.1
watchdog.BUSY_SECONDS, watchdog.LEAVING_SECONDS = 3.0, 1.0
def burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
with job_log("job.log"):
    {job}
"""
HANGS = {
    "a lock": ("lock = threading.Lock(); lock.acquire(); lock.acquire()", "nor used the CPU"),
    "C code": ("ctypes.CDLL(None).sleep(60)", "nor used the CPU"),
    "C code that keeps the interpreter's lock": ("ctypes.PyDLL(None).sleep(60)", "Timeout"),
    "an endless loop": ("burn(60)", "made no progress for 3 s"),
    "the end": (
        "threading.Thread(target=time.sleep, args=(60,)).start()",
        "process did not end within",
    ),
    "a child": ("import subprocess; subprocess.run(['sleep', '20'])", "nor used the CPU"),
}
WORKS = {
    "a slow block": "burn(2)",
    "a slow child": (
        "import subprocess; subprocess.run([sys.executable, '-c', "
        "'import time; e = time.monotonic() + 2\\nwhile time.monotonic() < e: pass'])"
    ),
    "slow steps": "[time.sleep(0.4) for _ in progress(range(8), what='w', seconds=0)]",
}


def run(tmp_path, job):
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", JOB.format(job=job)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        timeout=50,
    )
    return done, time.monotonic() - started


@pytest.mark.parametrize("where", HANGS)
def test_a_job_that_hangs_ends(tmp_path, where):
    job, said = HANGS[where]
    done, seconds = run(tmp_path, job)
    log = (tmp_path / "job.log").read_text()
    assert done.returncode == 1 and seconds < 20
    assert said in log and "Thread 0x" in log
    if said != "Timeout":
        assert done.stderr.count("it hangs and is stopped") == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize("how", WORKS)
def test_a_job_that_works_or_gets_on_is_left_alone(tmp_path, how):
    done, seconds = run(tmp_path, WORKS[how])
    assert done.returncode == 0, done.stderr
    assert seconds > 1.5


def test_a_suspended_job_goes_on(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", JOB.format(job="print('on', flush=True); burn(1)")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdout.readline() == b"on\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=30)
    assert process.returncode == 0
