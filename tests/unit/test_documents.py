"""README and docs: every command parses, every config is valid, every link leads somewhere."""

import re
import shlex
from fnmatch import fnmatch
from itertools import takewhile

import numpy as np
import pytest
import tifffile
import typer
import yaml
from snakemake.cli import get_argument_parser
from typer.exceptions import TyperException
from typer.testing import CliRunner

from decon3d.cli import app
from decon3d.errors import ConfigError
from decon3d.settings import load_settings, with_files
from support.configs import simulated_dataset
from support.documents import DOCUMENTS, blocks, commands, spoken
from support.paths import ROOT

README = ROOT / "README.md"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE).group(1).split())
CLI = typer.main.get_command(app)

OTHERS = {
    ".",
    "apptainer",
    "cd",
    "conda",
    "cp",
    "docker",
    "exec",
    "exit",
    "export",
    "flock",
    "git",
    "pip",
    "pre-commit",
    "tail",
    "tmux",
    "wsl",
    "xcode-select",
}
"""Commands that are not run: those of other projects and of the shell."""
USERS_OWN = ("*mine*", "*<*", "*{*", "*[[]*", "*…*", "config/instruments*", "*.sif")
"""Files that a user makes."""
CHECKED_FOLDERS = ("config", "docs", "envs", "profiles", "scripts", "tests", "workflow")


def names_a_missing_file(word):
    """A path below a folder of the clone that does not exist."""
    if word.split("/")[0] not in CHECKED_FOLDERS or "/" not in word:
        return False
    if any(fnmatch(word, pattern) for pattern in USERS_OWN):
        return False
    return not ((ROOT / word).exists() or list(ROOT.glob(word.rstrip("/"))))


def check_decon3d(words):
    """Parse a call as the command does; what is left over is parsed as Snakemake does."""
    command = CLI.commands[words[0]] if words and words[0] in CLI.commands else None
    if command is None:
        CLI.make_context("decon3d", list(words or ["--help"]), resilient_parsing=not words)
        return
    context = command.make_context(words[0], list(words[1:]))
    if words[0] in ("run", "preview"):
        get_argument_parser().parse_args([*context.args, "--cores", "1"])


def check_make(words):
    for word in words:
        name, given, value = word.partition("=")
        if not given:
            assert name in TARGETS, f"make {name}: no such target"
            continue
        assert f"$({name})" in MAKEFILE or f"{name} ?=" in MAKEFILE, f"{name}: not used by make"
        files = {"VALIDATE": "validation/validate_{}.py", "BENCH": "bench/bench_{}.py"}.get(name)
        values = shlex.split(value) if files else []
        names = list(takewhile(lambda word: not word.startswith("--"), values))
        for one in names:
            known = (name, one) == ("BENCH", "quick")
            assert known or (ROOT / "tests" / files.format(one)).is_file(), word
        if names and len(names) < len(values):  # options of the one that is named
            options = [word for word in values if word.startswith("--")]
            check_python([f"tests/{files.format(names[0])}", *options])


def check_python(words):
    """The script exists and has every option."""
    if words[0] == "-m":
        return check_decon3d(words[2:])
    text = (ROOT / words[0]).read_text(encoding="utf-8")
    missing = [w for w in words if w.startswith("--") and f'"{w}"' not in text]
    assert not missing, f"{words[0]} has no option {missing}"


def check(words):
    name, rest = words[0].rsplit("/", 1)[-1], words[1:]
    if name == "decon3d" and rest != ["--version"]:
        check_decon3d(rest)
    elif name == "make":
        check_make(rest)
    elif name == "snakemake":
        get_argument_parser().parse_args(rest)
    elif name == "python":
        check_python(rest)
    else:
        assert name in {*OTHERS, "decon3d"}, f"nothing checks the command {name!r}"
    missing = [word for word in rest if names_a_missing_file(word)]
    assert not missing, f"{' '.join(words)}: no {missing}"


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_a_shell_block_holds_commands_that_exist(block):
    found = list(commands(block.text))
    assert found
    for words in found:
        check(words)


@pytest.mark.parametrize(
    "bad",
    [
        "decon3d restore a.tif",
        "decon3d run a.yaml --coers 2",
        "decon3d run config/none.yaml",
        "make dmeo",
        "make bench BENCH=none",
        "python scripts/export_bioimageio.py a b --nmae c",
        "unknown",
    ],
)
def test_a_wrong_command_is_found(bad):
    with pytest.raises((AssertionError, SystemExit, TyperException)):
        check(shlex.split(bad))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_and_files_in_sentences_exist(path):
    for code in spoken(path):
        if code.startswith("make ") and "X" not in code:
            check_make(shlex.split(code)[1:])
        if code.startswith("decon3d "):
            first, *rest = shlex.split(code)[1:]
            command = CLI if first.startswith("-") else CLI.commands[first]
            known = {name for p in command.params for name in p.opts} | {"--help"}
            if first not in ("run", "preview"):  # their options may be Snakemake's
                assert not [w for w in rest if w.startswith("--") and w not in known], code
        missing = [word for word in code.split() if names_a_missing_file(word)]
        assert not missing, f"no {missing}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(path):
    links = re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_a_config_block_is_valid(block, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    base = {"datasets": {"worm": simulated_dataset()}, "methods": {"rl": {}}}
    config = base | yaml.safe_load(block.text)
    try:
        load_settings(with_files(config, [ROOT / "config" / "examples" / "instruments"]))
    except ConfigError as error:
        absent = ("does not exist", "no file matches", "the bundle")
        assert not [p for p in error.problems if not any(text in p for text in absent)]


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_a_python_block_compiles(block):
    compile(block.text, str(block), "exec")


@pytest.fixture
def image(monkeypatch, tmp_path):
    """A small image in `cells.ome.tif` in the working directory."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(1).poisson(20, (8, 24, 24)).astype(np.uint16) + 100
    image[3:5, 10:14, 10:14] += 500
    sizes = {"PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.1}
    tifffile.imwrite("cells.ome.tif", image, metadata={"axes": "ZYX", **sizes})
    return image


def test_the_python_block_of_the_readme_runs(image, monkeypatch):
    """As it is pasted into an empty session: it defines all that it uses, saves and shows."""
    (block,) = [b for b in blocks("python") if b.path == README]
    names: dict = {}
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: names.update(shown=True))
    exec(compile(block.text, "README.md", "exec"), names)
    assert names["restored"].max() > names["image"].max() and names["shown"]
    assert (tifffile.imread("restored.tif") == names["restored"]).all()


def test_the_commands_of_the_readme_restore_a_file(image):
    (block,) = [b for b in blocks("sh") if b.path == README and "decon3d restore" in b.text]
    for words in commands(block.text):
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == 0, result.output
    restored = np.squeeze(tifffile.imread(words[3]))
    assert restored.shape == image.shape and restored.max() > image.max()


def test_the_tutorial_shows_the_config_that_its_command_writes(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tutorial = ROOT / "docs" / "tutorials" / "first_volume.md"
    for name in ("volume.tif", "psf.tif"):
        tifffile.imwrite(name, np.full((9, 9, 9), 100, np.uint16), metadata={"axes": "ZYX"})
    calls = [c for b in blocks("sh") if b.path == tutorial for c in commands(b.text)]
    (init,) = [call[1:] for call in calls if call[1] == "init"]
    result = CliRunner().invoke(app, init)
    assert result.exit_code == 0, result.output
    written = yaml.safe_load((tmp_path / "config.yaml").read_text().replace(f"{tmp_path}/", ""))
    (shown,) = [b for b in blocks("yaml") if b.path == tutorial]
    assert yaml.safe_load(shown.text) == written


def test_make_help_lists_every_target():
    assert set(re.findall(r'@echo "make ([\w-]+) ', MAKEFILE)) == TARGETS - {"help"}


def test_the_readme_is_short_and_its_picture_small():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150
    (picture,) = re.findall(r"!\[.+\]\((.+)\)", README.read_text(encoding="utf-8"))
    assert (ROOT / picture).stat().st_size <= 200_000


def test_pictures_of_the_docs_are_small():
    pictures = list((ROOT / "docs" / "images").glob("*.png"))
    assert len(pictures) >= 3
    assert not [p.name for p in pictures if p.stat().st_size > 200_000]
