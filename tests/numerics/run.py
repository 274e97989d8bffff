"""Find numerics that changed without a new version of their stage: `make lint`, `make numerics`.

A result that was made by older code is kept unless the stage's number in `decon3d.versions` is
raised. `hashes.yaml` holds each stage's number and a hash of each of its modules, as they were when
somebody last decided whether results change. The hash is of the code without comments,
docstrings, annotations, imports, error messages and log lines.

    python tests/numerics/run.py                            name the modules that changed
    python tests/numerics/run.py --same "why results stay"  record the changes, with the reason
    python tests/numerics/run.py --record                   record stages whose number was raised
"""

import argparse
import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "scripts" / "decon3d"
HASHES = Path(__file__).with_name("hashes.yaml")
sys.path.insert(0, str(ROOT / "scripts"))

from decon3d.versions import VERSIONS  # noqa: E402

RESTORERS = ("restoration/arrays.py", "restoration/prepare.py", "restoration/restorers.py")
READERS = tuple(
    f"volumes/{name}.py"
    for name in ("metadata", "ome_xml", "planes", "reader", "tiff", "tiff_pages", "zarr_metadata")
)
CONSISTENCY = ("evaluation/consistency*.py", "blocks/*.py")
MODULES: dict[str, tuple[str, ...]] = {
    "simulate": ("phantoms/simulated.py", "phantoms/imaging.py", "phantoms/recipes.py"),
    "camera_maps": ("volumes/camera_frames.py", "volumes/camera_maps.py"),
    "ingest": (
        *READERS,
        "volumes/[inuvw]*.py",
        "volumes/apodization.py",
        "volumes/ome_zarr.py",
        "volumes/slabs.py",
        "volumes/sheets.py",
        "volumes/fingerprints.py",
    ),
    "statistics": (
        "volumes/channel_accumulator.py",
        "volumes/normalisation.py",
        "volumes/saturation.py",
        "volumes/statistics.py",
    ),
    "psf": ("optics/*.py",),
    "phantoms": ("phantoms/*.py",),
    "likeness": ("evaluation/likeness.py", "evaluation/texture.py"),
    "pairs": ("pairs/*.py",),
    "train": ("training/*.py", "networks/*.py"),
    "tune": ("classical/tuning.py", "restoration/tuning.py"),
    "prepare": (
        *RESTORERS,
        "restoration/decisions.py",
        "restoration/iterations.py",
        "restoration/sample.py",
        "classical/[!t]*.py",
        "volumes/camera.py",
    ),
    "plan": ("restoration/plan.py", "blocks/geometry.py"),
    "restore": (
        *RESTORERS,
        "classical/*.py",
        "networks/*.py",
        "restoration/part.py",
        "blocks/*.py",
    ),
    "finish": ("restoration/finish.py", "volumes/ome_tiff.py"),
    "evaluate": (
        "affine.py",
        "settings/target_kernels.py",
        "evaluation/metric.py",
        "evaluation/metrics/*.py",
        *(
            f"evaluation/{name}.py"
            for name in (
                "common_kernel",
                "dark_noise",
                "decorrelation",
                "deviance",
                "fsc",
                "full_reference",
                "job",
                "map_sensitivity",
                "predicted_error",
                "probe",
                "sample",
                "sampling",
                "squirrel",
                "stability",
                "staircase",
                "statistics",
                "volumes",
                "without_truth",
            )
        ),
    ),
    "noise": (
        "evaluation/noise.py",
        "volumes/camera.py",
        "volumes/correlated_noise.py",
        "volumes/photon_transfer.py",
    ),
    "psf_fit": ("evaluation/psf_*.py",),
    "consistency": CONSISTENCY,
    "report": ("report/recommendation.py", "report/vetoes.py", "report/tables.py"),
    "preview": ("report/preview_*.py",),
    "instrument": ("report/instrument.py",),
}
"""Modules that hold a stage's numerics, as patterns below scripts/decon3d."""
PLUGINS = ("classical/kinds/*.py", "networks/kinds/*.py", "evaluation/metrics/*.py")
"""Modules that each hold one method or metric. A new one is recorded with the next change."""
WITHOUT_NUMERICS = (
    "*/__init__.py",
    "*/sections.py",
    "evaluation/catalogue.py",
    "evaluation/not_verifiable.py",
    "evaluation/records.py",
    "restoration/bundle_checks.py",
    "restoration/remake.py",
    "volumes/checked_stores.py",
    "volumes/header_checks.py",
    "volumes/headers.py",
    "volumes/manifest.py",
    "volumes/stated_optics.py",
    "volumes/strict_stores.py",
)
"""Modules of the packages below whose changes change no voxel and no number."""
PACKAGES = (
    "blocks",
    "classical",
    "evaluation",
    "networks",
    "optics",
    "pairs",
    "phantoms",
    "restoration",
    "training",
    "volumes",
)
"""Packages of which every module is in `MODULES` or in `WITHOUT_NUMERICS`."""


def matches(module: str, patterns: Iterable[str]) -> bool:
    """Return whether a path below scripts/decon3d matches one of some patterns."""
    return any(fnmatch(module, pattern) for pattern in patterns)


def with_numerics() -> list[str]:
    """List all modules but those of `WITHOUT_NUMERICS`, as paths below scripts/decon3d."""
    files = sorted(p.relative_to(LIBRARY).as_posix() for p in LIBRARY.rglob("*.py"))
    return [f for f in files if not matches(f, WITHOUT_NUMERICS)]


def modules(stage: str) -> list[str]:
    """List the modules of a stage, as paths below scripts/decon3d."""
    return [f for f in with_numerics() if matches(f, MODULES[stage])]


def unlisted() -> list[str]:
    """List the modules of `PACKAGES` that no stage names."""
    files = [f for f in with_numerics() if f.partition("/")[0] in PACKAGES]
    return [f for f in files if not any(matches(f, patterns) for patterns in MODULES.values())]


def code_hash(source: str) -> str:
    """Hash what a module computes: its syntax tree without what changes no result."""
    return hashlib.sha256("".join(_tokens(ast.parse(source))).encode()).hexdigest()[:12]


def _tokens(node: Any) -> Iterator[str]:
    """Flatten a syntax tree, alike in all versions of Python."""
    if isinstance(node, list):
        for item in node:
            if not _without_result(item):
                yield from _tokens(item)
        yield ";"
    elif isinstance(node, ast.AST):
        yield f"({type(node).__name__} "
        for name, value in ast.iter_fields(node):
            if name not in ("annotation", "ctx", "kind", "returns", "type_comment", "type_params"):
                yield from _tokens(value)
        yield ")"
    elif node is not None:
        yield f"{node!r} "


def _without_result(node: Any) -> bool:
    """Return whether a statement is an import, an error, a string alone or a call of the logger."""
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Raise)):
        return True
    if not isinstance(node, ast.Expr):
        return False
    value = node.value
    if isinstance(value, ast.Constant):
        return isinstance(value.value, str)
    return isinstance(value, ast.Call) and ast.unparse(value.func).lower().startswith("log.")


def current() -> dict[str, Any]:
    """Return each stage's version and the hashes of its modules."""
    hashes = {p: code_hash((LIBRARY / p).read_text()) for s in MODULES for p in modules(s)}
    return {
        stage: {"version": VERSIONS[stage], "modules": {p: hashes[p] for p in modules(stage)}}
        for stage in sorted(MODULES)
    }


def without_new_plugins(recorded: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Leave out plug-ins without a record: a new method or metric changes no earlier result."""
    known = {p for stage in recorded.values() for p in stage["modules"]}

    def is_new(module: str) -> bool:
        return module not in known and matches(module, PLUGINS)

    return {
        stage: {**state, "modules": {p: h for p, h in state["modules"].items() if not is_new(p)}}
        for stage, state in now.items()
    }


def changes(recorded: dict[str, Any], now: dict[str, Any]) -> dict[str, list[str]]:
    """Name the modules that differ from the record, by stage; moved ones do not differ."""
    found = {}
    for stage, state in now.items():
        before = recorded.get(stage, {"modules": {}})["modules"]
        known = {*before.values()}
        lost = {*before.values()} - {*state["modules"].values()}
        changed = [p for p, h in state["modules"].items() if h not in known]
        changed += [p for p, h in before.items() if h in lost and p not in state["modules"]]
        if changed:
            found[stage] = changed
    return found


def main(options: argparse.Namespace) -> int:
    """Compare the code with the record, or renew the record; exit status 1 if something is open."""
    record = yaml.safe_load(HASHES.read_text()) if HASHES.exists() else {}
    recorded, everything = record.get("stages", {}), current()
    now = without_new_plugins(recorded, everything)
    changed = changes(recorded, now)
    raised = {s for s in now if now[s]["version"] != recorded.get(s, {}).get("version")}
    problems = [f"{p}: no stage of tests/numerics/run.py lists this module" for p in unlisted()]
    same = [stage for stage in changed if stage not in raised]
    if options.same is None:
        problems += [
            f"{', '.join(changed[stage])}: changed, and the version of {stage!r} is still "
            f"{VERSIONS[stage]}. If results change, raise it in decon3d/versions.py and run "
            "`make numerics NUMERICS=--record`; if not: "
            "`make numerics NUMERICS='--same \"why results stay\"'`"
            for stage in same
        ]
    if problems:
        print("\n".join(problems))
        return 1
    if options.record or options.same is not None:
        reasons = record.get("same_results", [])
        if same:
            reasons = [*reasons, f"{', '.join(same)}: {options.same}"]
        HASHES.write_text(
            "# Written by `make numerics`; see tests/numerics/run.py.\n"
            + yaml.safe_dump(
                {"same_results": reasons[-50:], "stages": everything}, sort_keys=False, width=100
            )
        )
    elif recorded != now:
        print("Versions or modules are newer than their record: `make numerics NUMERICS=--record`")
        return 1
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="record raised versions")
    parser.add_argument("--same", metavar="WHY", help="record changes that change no result")
    sys.exit(main(parser.parse_args()))
