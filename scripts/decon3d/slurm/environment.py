"""The workflow's environment on a cluster: file system, containers, access from nodes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

OWN_DISK = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "ramfs", "overlay", "squashfs"}
"""File systems that are usually local to a machine."""
PACKAGES = ("snakemake", "snakemake-executor-plugin-slurm")


def file_system(folder: Path, mounts: str | None = None) -> str:
    """Return the type of a folder's file system.

    Parameters
    ----------
    mounts
        Text of /proc/mounts; None = this machine's.
    """
    text = Path("/proc/mounts").read_text() if mounts is None else mounts
    best, kind = Path("/"), "unknown"
    for line in text.splitlines():
        place, found = line.split()[1:3]
        mount = Path(place.replace("\\040", " "))
        if folder.resolve().is_relative_to(mount) and len(mount.parts) >= len(best.parts):
            best, kind = mount, found
    return kind


def tool(*names: str) -> str | None:
    """Return the first of some programs that is installed."""
    return next((name for name in names if shutil.which(name)), None)


def missing_packages() -> list[str]:
    """Return the packages that the profile needs and this Python lacks."""
    missing = []
    for name in PACKAGES:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    return missing


def try_node(
    partition: str, request: Sequence[str], *, folder: Path, seconds: int = 180
) -> tuple[bool, str]:
    """Run a tiny job that tests a node's access to this folder, this Python and its GPU.

    Parameters
    ----------
    partition
        The partition in which the job runs.
    request
        More arguments of `srun`, such as `--gpus=1`.
    folder
        Working directory of the job; the library is imported from its `scripts`, if there is one.
    seconds
        How long to wait for a free node.

    Returns
    -------
    bool, str
        Whether the job worked; the result, in words.
    """
    code = (
        "import os, sys; sys.path.insert(0, 'scripts'); import decon3d; "
        "print('sees this folder and this Python; CUDA_VISIBLE_DEVICES =', "
        "os.environ.get('CUDA_VISIBLE_DEVICES', 'not set'))"
    )
    command = [
        "srun",
        f"--partition={partition}",
        "--ntasks=1",
        "--mem=500",
        "--time=2",
        f"--chdir={folder}",
        *request,
        sys.executable,
        "-c",
        code,
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, f"no answer: {error}"
    works = done.returncode == 0
    last = (done.stdout if works else done.stderr).strip().splitlines()[-1:]
    return works, last[0] if last else f"ended with {done.returncode}, without output"
