"""Version, licence, CI and hooks agree with the code."""

import re
import tomllib

import yaml

from decon3d import __version__
from support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_version_is_written_once():
    assert PROJECT["project"]["dynamic"] == ["version"]
    source = ROOT / PROJECT["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{__version__}"' in source.read_text()
    others = [p for p in (ROOT / "scripts").rglob("*.py") if p != source]
    assert not [p for p in others if re.search(r'__version__\s*=\s*"', p.read_text())]
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_a_new_version_alone_triggers_no_rule():
    """The rules' parameters contain the versions of the stages, not that of decon3d."""
    rules = [*(ROOT / "workflow").rglob("*.smk"), ROOT / "workflow" / "Snakefile"]
    texts = [p.read_text() for p in (*rules, ROOT / "scripts" / "decon3d" / "jobs.py")]
    assert any("VERSIONS" in text for text in texts)
    assert not any("__version__" in text for text in texts)


def test_the_citation_names_the_licence_and_no_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["cff-version"] == "1.2.0" and "version" not in citation


def test_ci_calls_the_targets_and_hooks_are_local():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    commands = {step.get("run") for job in jobs.values() for step in job["steps"]}
    assert {"make lint", "make test", "make docs"} <= commands
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    makefile = (ROOT / "Makefile").read_text()
    for hook in repos[0]["hooks"]:
        (tool,) = re.findall(r"\.venv/bin/(\S+)", hook["entry"])
        assert f"$(BIN)/{tool} " in makefile and hook["language"] == "system"


def test_contributors_are_shown_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:scripts|tests|\.github)/[\w/.-]+)`", text)
    assert len(named) > 5 and all((ROOT / name).exists() for name in named)


def test_no_module_of_the_tests_imports_a_test():
    """What tests share is in tests/support or in a conftest.py; code for subprocesses counts too."""
    imports = re.compile(r"^\s*(?:import|from) (?:[\w.]+\.)?test_\w+", re.MULTILINE)
    modules = sorted((ROOT / "tests").rglob("*.py"))
    assert len(modules) > 100
    assert not [str(m.relative_to(ROOT)) for m in modules if imports.search(m.read_text())]


def test_tests_mirror_the_packages():
    packages = {p.parent.name for p in (ROOT / "scripts/decon3d").glob("*/__init__.py")}
    tests = ROOT / "tests" / "unit"
    assert {p.name for p in tests.iterdir() if any(p.glob("test_*.py"))} <= packages
    prefixed = "|".join(packages)
    assert not [p.name for p in tests.iterdir() if re.match(rf"test_({prefixed})[_.]", p.name)]
