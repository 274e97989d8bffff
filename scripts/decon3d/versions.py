"""Versions of the algorithms, by stage.

They are among the parameters of the workflow's rules: raise a stage's number when a change of the
library changes its results, and exactly that stage and what follows is run again.
"""

import importlib.metadata
import platform

PACKAGES = (
    "numpy", "scipy", "zarr", "tifffile", "scikit-image", "pandas", "matplotlib", "tensorflow",
    "tensorflow-cpu", "keras", "openvino", "snakemake",
)  # fmt: skip
VERSIONS = {
    "simulate": 4,
    "camera_maps": 1,
    "ingest": 12,
    "statistics": 7,
    "psf": 8,
    "phantoms": 7,
    "likeness": 1,
    "pairs": 5,
    "train": 11,
    "tune": 17,
    "prepare": 15,
    "plan": 10,
    "restore": 13,
    "finish": 6,
    "evaluate": 12,
    "noise": 4,
    "psf_fit": 3,
    "consistency": 7,
    "report": 12,
    "preview": 2,
    "instrument": 1,
}


def installed() -> dict[str, str]:
    """Return the versions of Python and of the packages in use; absent ones are left out."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
