"""Every kind of method is one file with its settings, label, text and citations."""

import re

import pytest

from decon3d import config_reference
from decon3d.report.labels import method_label
from decon3d.settings import KINDS, METHOD_KINDS


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_has_label_text_and_citations(name):
    kind = KINDS[name]
    assert kind.name == name and METHOD_KINDS[name] is kind.settings
    assert method_label(name) == kind.label
    assert kind.citations, f"{name} cites nothing; add the paper to its METHOD"
    assert all(re.search(r"\b(19|20)\d\d\b", reference) for reference in kind.citations)
    assert kind.text == kind.text.strip(" .") and len(kind.text) > 5


@pytest.mark.parametrize("name", METHOD_KINDS)
def test_a_kind_has_defaults_and_a_section_in_the_reference(name):
    options = {"bundle": "models/mine"} if name == "bundle" else {}
    assert METHOD_KINDS[name](kind=name, **options).kind == name
    assert f"## `methods.<name> (kind: {name})`" in config_reference.page_text()


def test_texts_and_labels_differ():
    assert len({kind.text for kind in KINDS.values()}) == len(KINDS)
    assert len({kind.label for kind in KINDS.values()}) == len(KINDS)
