"""The record of numerics: what counts as a change, and what it asks for."""

import argparse

import pytest
import yaml

from numerics import run

SOURCE = '''
"""Docstring."""
import os
def f(x: int) -> float:
    """Return."""
    if x < 0:
        raise ValueError("negative")
    log.info("here")
    return x * 0.5  # half
'''
ALIKE = """
from os import path
def f(x):
    if x < 0:
        raise KeyError("x is below 0")
    return x * 0.5
"""


def test_words_change_no_hash_and_every_number_does():
    assert run.code_hash(SOURCE) == run.code_hash(ALIKE)
    assert run.code_hash(SOURCE) != run.code_hash(SOURCE.replace("0.5", "0.25"))
    assert run.code_hash(SOURCE) != run.code_hash(SOURCE.replace("x < 0", "x <= 0"))


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of one module, recorded."""
    (tmp_path / "optics").mkdir()
    (tmp_path / "optics" / "a.py").write_text(SOURCE)
    monkeypatch.setattr(run, "LIBRARY", tmp_path)
    monkeypatch.setattr(run, "HASHES", tmp_path / "hashes.yaml")
    monkeypatch.setattr(run, "MODULES", {"psf": ("optics/*.py",)})
    monkeypatch.setattr(run, "VERSIONS", {"psf": 1})
    assert call(record=True) == 0 and call() == 0
    return tmp_path


def call(**options):
    return run.main(argparse.Namespace(**{"record": False, "same": None, **options}))


def test_a_change_needs_a_new_version_or_a_reason(library, monkeypatch, capsys):
    (library / "optics" / "a.py").write_text(SOURCE.replace("0.5", "0.25"))
    assert call() == 1 and call(record=True) == 1
    assert "optics/a.py: changed, and the version of 'psf' is still 1" in capsys.readouterr().out
    monkeypatch.setattr(run, "VERSIONS", {"psf": 2})
    assert call() == 1 and call(record=True) == 0 and call() == 0


def test_a_reason_is_kept(library):
    (library / "optics" / "a.py").write_text(SOURCE.replace("x * 0.5", "0.5 * x"))
    assert call(same="the product is the same") == 0 and call() == 0
    record = yaml.safe_load((library / "hashes.yaml").read_text())
    assert record["same_results"] == ["psf: the product is the same"]


def test_a_module_that_moves_is_no_change(library):
    (library / "optics" / "a.py").rename(library / "optics" / "b.py")
    assert call(record=True) == 0 and call() == 0


def test_every_module_of_the_packages_is_listed():
    assert run.unlisted() == []
