"""The script that measures a GPU node runs to its end, and refuses a machine without one."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "bench" / "gpu.py"


def run(*arguments):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_without_a_gpu_nothing_is_measured():
    done = run()
    assert done.returncode == 1 and "|" not in done.stdout
    assert "device: gpu" in done.stderr and "--stand-in" in done.stderr


def test_on_the_cpu_all_rows_agree_with_the_cpu():
    done = run("--stand-in")
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line for line in done.stdout.splitlines() if "difference to the CPU" in line]
    assert len(rows) == 8 and all("\u2713" in row for row in rows)
    assert done.stdout.count("steps/s") == 3
