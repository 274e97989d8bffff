"""What is wrong with a config, in words: pydantic's findings as `key: wrong; right`."""

import difflib
import re
from typing import Any

from decon3d.settings.config import Settings
from decon3d.settings.methods import METHOD_KINDS
from decon3d.settings.microscope import PSF_SOURCES
from decon3d.settings.values import Section

_UNION_TAGS = {
    *METHOD_KINDS,
    *PSF_SOURCES,
    "VolumeEntry",
    "str",
    "list[union[str,VolumeEntry]]",
    "list[str]",
}


def explained(error: Any) -> str:
    """Turn one of pydantic's findings into `key.path: what is wrong; what would be right`."""
    path = ""
    for part in error["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]" and not _is_tag(part, path):
            path += f".{part}" if path else str(part)
    key = path.rsplit(".", 1)[-1]
    given = error.get("input")
    match error["type"]:
        case "extra_forbidden":
            text = f"unknown key{_did_you_mean(error['loc'])}"
        case "missing":
            text = "is missing; it has no default"
        case "union_tag_invalid":
            known = error["ctx"]["expected_tags"].replace("'", "")
            what = "kind of method" if path.startswith("methods") else "source"
            text = f"{error['ctx']['tag']!r} is no {what}; known: {known}"
        case "string_pattern_mismatch":
            text = f"{given!r} is no usable name; use letters, digits, _ and - only"
        case kind if kind in (
            "unit",
            "optics",
            "volumes",
            "pairs",
            "channels",
            "photons",
            "tune",
            "training",
        ):
            text = error["msg"]
        case "methods" | "phantoms":
            return error["msg"]
        case "union_tag_not_found":
            text = f"needs the key {error['ctx']['discriminator']}"
        case _:
            text = f"{_lower(error['msg'])}, not {given!r}"
    return f"{path or key}: {text}"


def _is_tag(part: str, path: str) -> bool:
    """Tell the names of union members in pydantic's locations from real keys."""
    return (
        part in _UNION_TAGS
        and (
            re.fullmatch(r"methods\.[^.]+|.*\.psf|.*\.(volumes|raw|truth)(\[\d+\])?", path)
            is not None
        )
    ) or re.fullmatch(r"int|float|literal\[.*\]|constrained-(int|float)", part) is not None


def _lower(message: str) -> str:
    message = message.removeprefix("Input ")
    return message[:1].lower() + message[1:]


def _did_you_mean(location: tuple[Any, ...]) -> str:
    """Name the known keys beside an unknown one, the closest first."""
    model: Any = Settings
    for part in location[:-1]:
        if part in METHOD_KINDS:
            model = METHOD_KINDS[part]
        elif part in PSF_SOURCES:
            model = PSF_SOURCES[part]
        elif part in getattr(model, "model_fields", {}):
            model = inner_model(model.model_fields[part].annotation)
    known = list(getattr(model, "model_fields", {}))
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(known)}" if known else ""


def inner_model(annotation: Any) -> Any:
    """Find the settings class inside an annotation such as `dict[Name, Dataset] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = inner_model(inner)
        if found is not None:
            return found
    return None
