"""`--sdm apptainer`: every job runs in the image, tried with a stand-in for apptainer."""

import os
import sys
from pathlib import Path

from decon3d import paths
from support.configs import simulated_dataset
from support.paths import ROOT

STAND_IN = """#!/bin/sh
[ "$1" = --version ] && exec echo apptainer version 1.3.4
echo "$@" >> "$CALLS"
# What comes behind the image is run here, outside.
while [ $# -gt 0 ]; do case "$1" in *.sif) shift; exec "$@";; esac; shift; done
exit 1
"""


def test_jobs_run_in_the_image(workplace):
    programs = workplace.folder / "bin"
    programs.mkdir()
    (programs / "apptainer").write_text(STAND_IN)
    (programs / "apptainer").chmod(0o755)
    workplace.configure({"datasets": {"d": simulated_dataset()}, "methods": {"rl": {}}})
    calls = workplace.folder / "calls"
    target = paths.psf("d", "gfp")
    run = workplace.run(
        target,
        "--sdm",
        "apptainer",
        "--apptainer-args=--nv",
        CALLS=str(calls),
        PATH=os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
    )
    assert run.code == 0, run.output[-3000:]
    assert (workplace.folder / target).is_file()
    (call,) = [line for line in calls.read_text().splitlines() if "exec " in line]
    assert " --nv " in call and f" {ROOT}/envs/decon3d.sif bash -c " in call
