"""The device that TensorFlow works on: chosen at the start of a job, never silently another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decon3d.errors import UserError
from decon3d.logs import log
from decon3d.networks.backend import tf

DRIVER = Path("/proc/driver/nvidia/version")
"""What NVIDIA's kernel module says of itself."""


def granted_gpus(resources: Mapping[str, Any], *, required: bool = True) -> int:
    """Return how many GPUs a job may use: those that it asked the scheduler for.

    Parameters
    ----------
    resources
        The job's: `gpu: 2`, or `gres: "gpu:a100:2"` as SLURM spells it. Neither = no GPU.
    required
        False: a job that sees fewer than it asked for works on the CPU, with a warning.
    """
    gpus = int(resources.get("gpu", 0) or 0)
    asked = re.findall(r"gpu(?::[^:,]+)??(?::(\d+))?(?=,|$)", str(resources.get("gres", "")))
    gpus = gpus or sum(int(count or 1) for count in asked)
    if required or not gpus:
        return gpus
    seen = len(tf.config.list_physical_devices("GPU"))
    if seen < gpus:
        log.warning("%d GPU requested, %d found; using the CPU (require_gpu: false)", gpus, seen)
        return 0
    return gpus


def configure(*, gpus: int, threads: int) -> dict[str, Any]:
    """Set TensorFlow's threads and visible GPUs; call it before anything is computed.

    Parameters
    ----------
    gpus
        GPUs that the job was given. 0 hides all of them.
    threads
        CPU threads of this process.

    Returns
    -------
    dict
        `device` (in words), `gpus`, `threads`, `tensorflow` (version).

    Raises
    ------
    UserError
        If TensorFlow sees fewer GPUs than `gpus`: working on the CPU instead would take days.
    """
    visible = tf.config.list_physical_devices("GPU")
    if len(visible) < gpus:
        raise UserError(
            f"this job was given {gpus} GPU, but TensorFlow {tf.__version__} sees {len(visible)}; "
            "check `tensorflow[and-cuda]` (envs/gpu.yaml), the driver (nvidia-smi) and "
            "CUDA_VISIBLE_DEVICES, or request no GPU, or set require_gpu: false in the config"
        )
    used = visible[:gpus]
    tf.config.set_visible_devices(used, "GPU")
    for gpu in used:
        tf.config.experimental.set_memory_growth(gpu, True)
    threads = limit_threads(threads)
    names = [tf.config.experimental.get_device_details(g).get("device_name", "GPU") for g in used]
    device = ", ".join(names) if names else "CPU"
    log.info("TensorFlow %s on %s, %d CPU threads", tf.__version__, device, threads)
    if used:
        cuda = tf.sysconfig.get_build_info().get("cuda_version", "unknown")
        log.info("driver %s, CUDA %s", driver_version(), cuda)
    return {"device": device, "gpus": gpus, "threads": threads, "tensorflow": tf.__version__}


def driver_version() -> str:
    """Return the version of NVIDIA's driver, or `unknown`."""
    said = DRIVER.read_text(encoding="utf-8") if DRIVER.is_file() else ""
    found = re.search(r"^NVRM version:.*?\s(\d+(?:\.\d+)+)\s", said, re.MULTILINE)
    return found[1] if found else "unknown"


def limit_threads(threads: int) -> int:
    """Give TensorFlow `threads` CPU threads; return how many it has.

    TensorFlow takes them at its first computation: in a process where it already works, the
    number stays as it is, and a warning says so.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        found = tf.config.threading.get_intra_op_parallelism_threads()
        if found != threads:
            log.warning("TensorFlow is already initialised in this process, with %d threads", found)
        threads = found
    return threads
