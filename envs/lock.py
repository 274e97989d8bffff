"""Renew the exact locks, and the conda environments made of them: `make lock` (needs uv)."""

import subprocess
from pathlib import Path

ENVS = Path(__file__).parent
EXTRAS = {
    "cpu": ["cpu"],
    "gpu": ["gpu", "cupy"],
    "dev": ["cpu", "dev"],
    "bench": ["cpu", "dev", "bench"],
    "docs": ["cpu", "dev", "docs"],
}
HEADER = "# Made by `make lock` from envs/{name}.lock.txt; do not edit.\n"


def conda_environment(name: str) -> str:
    """Write a conda environment that installs a lock; Snakemake copies it, so it stands alone."""
    lines = (ENVS / f"{name}.lock.txt").read_text(encoding="utf-8").splitlines()
    pins = "".join(f'      - "{line}"\n' for line in lines if line and not line.startswith("#"))
    head = "channels: [conda-forge]\ndependencies:\n  - python =3.11\n  - pip\n  - pip:\n"
    return HEADER.format(name=name) + head + pins


def main() -> None:
    """Resolve every set of extras of pyproject.toml for all platforms."""
    for name, extras in EXTRAS.items():
        flags = [word for extra in extras for word in ("--extra", extra)]
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        command += ["--no-header", "--no-annotate", *flags, "pyproject.toml"]
        subprocess.run([*command, "--output-file", str(ENVS / f"{name}.lock.txt")], check=True)
        if name in ("cpu", "gpu"):
            (ENVS / f"{name}.yaml").write_text(conda_environment(name), encoding="utf-8")


if __name__ == "__main__":
    main()
