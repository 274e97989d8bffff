"""Seeded mutations of bytes, of text, and of JSON-able values."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
INTEGERS = (0, 1, 2, 3, 7, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
NASTY: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    3,
    255,
    65536,
    2**31,
    2**63,
    10**30,
    -(10**9),
    0.0,
    0.5,
    1e-300,
    1e300,
    -0.15,
    float("nan"),
    float("inf"),
    "",
    " ",
    "0",
    "-1",
    "1e999",
    "nan",
    "None",
    "a/b",
    "../..",
    "/dev/null",
    "[Z]",
    "é😀",
    "\x00",
    "x" * 300,
    "$NOT_SET",
    "~nobody",
    "*",
    "[",
    [],
    [0],
    [-1],
    [None],
    [[]],
    ["", ""],
    [0, 0, 0],
    [1e9, 1e9, 1e9],
    [1] * 40,
    {},
    {"": None},
    {"a": {"b": []}},
)
WORDS = (
    "",
    "0",
    "-1",
    "1",
    "3",
    "NaN",
    "INF",
    "1e400",
    "99999999999",
    "0.0",
    "-0.15",
    "µm",
    "nm",
    "pixel",
    "XYCZT",
    "XYZCT",
    "uint8",
    "int32",
    "double",
    "complex",
    "&",
    "<",
    "]]>",
    "\x00",
    "é",
    "\n",
    "=",
    ",",
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
WORD = re.compile(r"[A-Za-z_][\w.-]*|-?\d+(?:\.\d+)?")


def any_of(rng: Rng, items: Any) -> Any:
    """Draw one of a sequence, whatever it holds."""
    return items[int(rng.integers(len(items)))]


def span(rng: Rng, size: int, longest: int = 64) -> slice:
    """Draw a short range within `size`."""
    start = int(rng.integers(size)) if size else 0
    return slice(start, min(size, start + int(rng.integers(1, longest))))


def mutate_bytes(rng: Rng, data: bytes, times: int | None = None) -> bytes:
    """Change a few places of a file: bits, integers, ranges that vanish, repeat or become 0."""
    for _ in range(times or int(rng.integers(1, 4))):
        data = any_of(rng, BYTES)(rng, data)
    return data


def flip(rng: Rng, data: bytes) -> bytes:
    """Flip one bit."""
    if not data:
        return b"\x01"
    changed = bytearray(data)
    changed[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def put_integer(rng: Rng, data: bytes, at: int | None = None) -> bytes:
    """Overwrite 1, 2, 4 or 8 bytes by an integer that is often mishandled."""
    size = any_of(rng, (1, 2, 4, 8))
    value = any_of(rng, INTEGERS) % 256**size
    place = int(rng.integers(len(data) + 1)) if at is None else at
    new = value.to_bytes(size, any_of(rng, ("little", "big")))
    return data[:place] + new + data[place + size :]


def cut(rng: Rng, data: bytes) -> bytes:
    """Keep the beginning only."""
    return data[: int(rng.integers(len(data) + 1))]


def _drop(rng: Rng, data: bytes) -> bytes:
    gone = span(rng, len(data))
    return data[: gone.start] + data[gone.stop :]


def _repeat(rng: Rng, data: bytes) -> bytes:
    again = span(rng, len(data))
    return data[: again.stop] + data[again.start :]


def _zero(rng: Rng, data: bytes) -> bytes:
    gone = span(rng, len(data), 512)
    return data[: gone.start] + bytes(gone.stop - gone.start) + data[gone.stop :]


def _insert(rng: Rng, data: bytes) -> bytes:
    place = int(rng.integers(len(data) + 1))
    return data[:place] + rng.bytes(int(rng.integers(1, 9))) + data[place:]


BYTES: tuple[Callable[[Rng, bytes], bytes], ...] = (
    flip,
    flip,
    flip,
    put_integer,
    put_integer,
    cut,
    _drop,
    _repeat,
    _zero,
    _insert,
)


def mutate_text(rng: Rng, text: str) -> str:
    """Change numbers, words, lines of a text, or single characters."""
    for _ in range(int(rng.integers(1, 4))):
        text = any_of(rng, TEXTS)(rng, text)
    return text


def _replace(rng: Rng, text: str, pattern: re.Pattern[str]) -> str:
    found = list(pattern.finditer(text))
    if not found:
        return text
    match = any_of(rng, found)
    return text[: match.start()] + any_of(rng, WORDS) + text[match.end() :]


def _exchange_words(rng: Rng, text: str) -> str:
    found = list(WORD.finditer(text))
    if not found:
        return text
    one, other = any_of(rng, found), any_of(rng, found)
    return text[: one.start()] + other[0] + text[one.end() :]


def _drop_attribute(rng: Rng, text: str) -> str:
    found = list(re.finditer(r'\s[\w:]+="[^"]*"|<[^<>]*>|[^\n]*\n', text))
    if not found:
        return text
    match = any_of(rng, found)
    return text[: match.start()] + text[match.end() :]


def _repeat_part(rng: Rng, text: str) -> str:
    found = list(re.finditer(r"<(\w+)[^<>]*/>|<(\w+).*?</\2>|[^\n]+\n", text, re.DOTALL))
    if not found:
        return text
    match = any_of(rng, found)
    return text[: match.end()] + match[0] + text[match.end() :]


def _characters(rng: Rng, text: str) -> str:
    place = int(rng.integers(len(text) + 1))
    new = any_of(rng, ("", "\x00", '"', "<", "é", "\ufffd", "\t", ";", "{", "[", ":", "&#x0;"))
    return text[:place] + new + text[place + int(rng.integers(3)) :]


TEXTS: tuple[Callable[[Rng, str], str], ...] = (
    lambda rng, text: _replace(rng, text, NUMBER),
    lambda rng, text: _replace(rng, text, NUMBER),
    lambda rng, text: _replace(rng, text, WORD),
    _exchange_words,
    _drop_attribute,
    _repeat_part,
    _characters,
    lambda rng, text: text[: int(rng.integers(len(text) + 1))],
)


def encode(rng: Rng, text: str) -> bytes:
    """Encode a text, rarely as a spreadsheet program or a careless editor would."""
    if rng.random() < 0.7:
        return text.encode("utf-8", "replace")
    codec = any_of(rng, ("utf-8-sig", "utf-16", "utf-16-le", "latin-1", "utf-32", "cp437"))
    return text.encode(codec, "replace")


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the keys that lead to each value inside, the value itself first."""
    inside: list[tuple[Any, ...]] = [path]
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, child in items:
        inside += paths_of(child, (*path, key))
    return inside


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def mutate_value(rng: Rng, value: Any) -> Any:
    """Change a JSON-able value at one to three places: gone, of another type, exchanged, renamed."""
    value = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, 4))):
        places = paths_of(value)
        path = any_of(rng, places)
        if not path:
            if rng.random() < 0.05:
                value = any_of(rng, NASTY)
            continue
        parent, key = _at(value, path[:-1]), path[-1]
        choice = rng.random()
        if choice < 0.25:
            del parent[key]
        elif choice < 0.65:
            parent[key] = copy.deepcopy(any_of(rng, NASTY))
        elif choice < 0.75:
            parent[key] = copy.deepcopy(_at(value, any_of(rng, places)))
        elif choice < 0.85 and isinstance(parent, dict):
            parent[
                str(any_of(rng, (f"{key}x", "", key.upper() if isinstance(key, str) else 0)))
            ] = parent.pop(key)
        elif isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        elif isinstance(parent[key], bool):
            parent[key] = not parent[key]
        elif isinstance(parent[key], int | float):
            parent[key] = parent[key] * any_of(rng, (-1, 2, 0.5, 1000)) + any_of(rng, (0, 1, -1))
        else:
            parent[key] = [parent[key]]
    return value


def mutate_json(rng: Rng, text: str) -> bytes:
    """Change a JSON document: its values, its text, or its bytes."""
    choice = rng.random()
    if choice < 0.6:
        return json.dumps(mutate_value(rng, json.loads(text))).encode()
    if choice < 0.8:
        return encode(rng, mutate_text(rng, text))
    return mutate_bytes(rng, text.encode())
