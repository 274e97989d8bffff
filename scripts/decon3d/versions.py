"""The version of decon3d, and those of its algorithms by stage.

The latter are parameters of the workflow's rules. Raise a stage's number when a change of the
library changes its results; then that stage and all later ones run again.
"""

__version__ = "0.2.0"
PACKAGES = (
    "numpy",
    "scipy",
    "zarr",
    "tifffile",
    "scikit-image",
    "pandas",
    "matplotlib",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "openvino",
    "snakemake",
)
VERSIONS = {
    "simulate": 4,
    "camera_maps": 1,
    "ingest": 12,
    "statistics": 7,
    "psf": 11,
    "phantoms": 7,
    "likeness": 1,
    "pairs": 5,
    "train": 18,
    "tune": 21,
    "prepare": 26,
    "plan": 14,
    "restore": 25,
    "finish": 6,
    "evaluate": 17,
    "noise": 4,
    "psf_fit": 4,
    "consistency": 8,
    "report": 21,
    "preview": 5,
    "instrument": 1,
}


def installed() -> dict[str, str]:
    """Return the versions of Python and of the packages in use; absent ones are left out."""
    import importlib.metadata  # not for `import decon3d`
    import platform

    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
