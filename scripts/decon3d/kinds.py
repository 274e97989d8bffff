"""Kinds of methods: the record of a plug-in, and the search for plug-ins of any sort.

A method is one file in `classical/kinds` or `networks/kinds`. The file defines `METHOD`. The
config's kinds, the reference page, the labels and the methods paragraph follow from it.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args

from decon3d.field_types import Name, Section


class MethodSection(Section):
    """Settings of all methods."""

    source: Name | None = None
    """Another method. This method then starts from the volumes that the other one restored (first
    denoise, then sharpen), with their normalisation; negative counts become 0. It is trained, tuned
    and tested on training data that the other method restored. Null = the raw volumes."""
    if TYPE_CHECKING:
        kind: str


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of method, as one file defines it.

    Attributes
    ----------
    settings
        The section of the config. Its `kind` is a `Literal` of one word, the kind's name.
    label
        The name in figures and tables.
    text
        Description for the methods paragraph; completes "<label> is …".
    citations
        References in the order in which they are cited; at least one.
    """

    settings: type[MethodSection]
    label: str
    text: str
    citations: tuple[str, ...]

    @property
    def name(self) -> str:
        """The word for `kind` in the config."""
        return str(get_args(self.settings.model_fields["kind"].annotation)[0])


def find_kinds(package: ModuleType) -> dict[str, Any]:
    """Return the `METHOD` records of a package's modules by the kinds' names."""
    return {kind.name: kind for kind in find_records(package, "METHOD")}


def find_records(package: ModuleType, name: str) -> list[Any]:
    """Import the modules of a package; return the record that each defines as `name`."""
    return [
        getattr(importlib.import_module(f"{package.__name__}.{module.name}"), name)
        for module in pkgutil.iter_modules(package.__path__)
    ]
