"""Pydantic's errors as lines `key: what is wrong; what to do`."""

import difflib
import re
from collections.abc import Iterable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic_core.core_schema import ErrorType

from decon3d.field_types import Section
from decon3d.optics.sections import PSF_SOURCES
from decon3d.settings.config import Settings
from decon3d.settings.methods import METHOD_KINDS

_OF_PYDANTIC = frozenset(get_args(ErrorType))
_OF_THE_CONFIG = ("methods", "phantoms")
"""Types of the settings' own errors whose text includes the key."""
_WORDS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a section with keys",
    "model_type": "a section with keys",
    "model_attributes_type": "a section with keys",
    "list_type": "a list",
    "string_type": "text",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number with fewer digits",
    "int_type": "a whole number",
}
_LIMITS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_FILLED = "not empty"
_TAGGED = {**METHOD_KINDS, **PSF_SOURCES}
_LONGEST = 60
"""Characters of a wrong value that are shown."""


def explained(errors: Iterable[Any]) -> list[str]:
    """Turn pydantic's errors into lines; those of the members of a union become one.

    Parameters
    ----------
    errors
        From `ValidationError.errors`.
    """
    lines: dict[str, None] = {}
    wanted: dict[str, tuple[list[str], Any]] = {}
    for error in errors:
        location, given = error["loc"], error.get("input")
        if error["type"] == "missing" and location and isinstance(location[-1], int):
            path, annotation = _walk(location[:-1])  # a triple is too short
            words: str | None = _layout(annotation)
        else:
            path, annotation = _walk(location)
            words = _wanted(error, annotation)
        if words is None:
            lines[_own_line(error, path)] = None
        else:
            lines[path] = None
            wanted.setdefault(path, ([], given))[0].append(words)
    # Skip errors of a union's other members if an entry of a list is wrong.
    inside = {p for p in wanted if any(q.startswith((f"{p}.", f"{p}[")) for q in lines if q != p)}
    return [
        f"{line}: {_must_be(*wanted[line])}" if line in wanted else line  # in the errors' order
        for line in lines
        if line not in inside
    ]


def _must_be(words: list[str], given: Any) -> str:
    """Describe what a value must be, by all members of a union."""
    wanted = " or ".join(dict.fromkeys(words))
    if given is None:
        return f"has no value; it must be {wanted}"
    if _FILLED in words:
        return "is empty; give at least one entry"
    shown = repr(given)
    shown = shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
    return f"must be {wanted}, not {shown}{_close(given, words)}"


def _close(given: Any, words: list[str]) -> str:
    """Suggest the allowed word closest to a wrong one."""
    allowed = [word for text in words for word in re.split(r", | or ", text) if " " not in word]
    return did_you_mean(given, allowed) if isinstance(given, str) else ""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Suggest the known word closest to a wrong one; empty if none is close."""
    close = difflib.get_close_matches(given.lower(), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _wanted(error: Any, annotation: Any) -> str | None:
    """Describe what a value must be, for errors about one value; None for others."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _WORDS:
        return _WORDS[kind]
    if kind in _LIMITS:
        words, key = _LIMITS[kind]
        return f"{words} {context[key]:g}"
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind == "too_short" and not context["actual_length"]:
        return _FILLED
    if kind in ("tuple_type", "too_short", "too_long"):
        return _layout(annotation)
    return None


def _own_line(error: Any, path: str) -> str:
    kind, context, given = error["type"], error.get("ctx", {}), error.get("input")
    if kind in _OF_THE_CONFIG:
        return str(error["msg"])
    if kind == "extra_forbidden":
        text = f"unknown key{_known_keys(error['loc'])}"
    elif kind == "missing":
        text = "is missing; it has no default"
    elif kind == "union_tag_invalid":
        known = context["expected_tags"].replace("'", "")
        what = "method kind" if path.startswith("methods") else "source"
        hint = did_you_mean(str(context["tag"]), known.split(", "))
        text = f"unknown {what} {context['tag']!r}; known: {known}{hint}"
    elif kind == "union_tag_not_found":
        text = f"needs the key {context['discriminator'].strip(chr(39))}"
    elif kind == "string_pattern_mismatch":
        text = f"{given!r} cannot be a name; use letters, digits, _ and - only"
    elif kind not in _OF_PYDANTIC:  # the settings' own
        text = error["msg"]
    elif kind == "value_error":
        text = str(context["error"])
    else:
        text = f"{error['msg']}, not {given!r}"
    return f"{path}: {text}"


def _walk(location: Iterable[Any]) -> tuple[str, Any]:
    """Follow pydantic's location through the settings.

    Returns
    -------
    tuple
        The key of the config, without pydantic's names of union members, and its type.
    """
    path = ""
    here: Any = Settings
    for part in location:
        members = list(_members(here))
        dicts = [m for m in members if get_origin(m) is dict]
        models = {m.__name__: m for m in members if inner_model(m) is m}
        tagged = {k: m for k, m in _TAGGED.items() if m in models.values() and len(members) > 1}
        if isinstance(part, int):
            path += f"[{part}]"
            here = _element(members, part)
        elif part == "[key]":
            continue
        elif dicts:
            path += f".{part}" if path else str(part)
            here = get_args(dicts[0])[1]
        elif len(members) > 1:  # a union: the part names a member
            here = tagged.get(part, models.get(part, here))
        else:
            path += f".{part}" if path else str(part)
            fields = getattr(members[0], "model_fields", {}) if members else {}
            here = fields[part].annotation if part in fields else None
    return path, here


def _members(annotation: Any) -> Iterator[Any]:
    """List the members of a union but None, without `Annotated`."""
    if get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for inner in get_args(annotation):
            yield from _members(inner)
    elif annotation not in (None, NoneType):
        yield annotation


def _element(members: list[Any], index: int) -> Any:
    """Return the type of an element of a list or tuple."""
    for member in members:
        if get_origin(member) in (list, tuple):
            inner = [m for m in get_args(member) if m is not Ellipsis]
            return inner[min(index, len(inner) - 1)]
    return None


def _layout(annotation: Any) -> str:
    """Describe the form of a tuple: `[Z, Y, X]`, `[from, to]` or a list."""
    for member in _members(annotation):
        elements = [m for m in get_args(member) if m is not Ellipsis]
        if get_origin(member) is not tuple or len(elements) < len(get_args(member)):
            continue
        if len(elements) == 2:
            return "[from, to]"
        pairs = get_origin(next(_members(elements[0]))) is tuple
        return "[[from, to], [from, to], [from, to]] along Z, Y, X" if pairs else "[Z, Y, X]"
    return "a list"


def _known_keys(location: tuple[Any, ...]) -> str:
    """Suggest the key closest to an unknown one, else list the known keys at its place."""
    _, here = _walk(location[:-1])
    known = [key for member in _members(here) for key in getattr(member, "model_fields", {})]
    listed = f"; known here: {', '.join(known)}" if known else ""
    return did_you_mean(str(location[-1]), known) or listed


def inner_model(annotation: Any) -> Any:
    """Find the settings class inside an annotation such as `dict[Name, Dataset] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = inner_model(inner)
        if found is not None:
            return found
    return None
