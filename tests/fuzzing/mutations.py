"""How a file goes wrong: in its bytes, and in the values that it holds."""

from __future__ import annotations

import copy
import csv
import io
import json
import math
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

# What a number, a word or a table is replaced by: other types, extremes, what no file should have.
NASTY: list[Any] = [
    None, True, False, 0, -1, 1, 7, 1 << 31, 1 << 63, 10**400, 0.5, -0.0, 1e308, 1e-320, math.nan,
    math.inf, "", " ", "0", "-1", "nan", "true", "\x00", "\n", "é", "\u2028", "x" * 999, "1" * 999,
    "{label}", "{", "..", "/", "[1", '["a"]', [], [[]], [0], ["a", "a"], {}, {"a": 1}, {"": None},
]  # fmt: skip
_BLOCKS = [
    b"\x00", b"\xff\xfe", b"\n", b"\r", b'"', b"[" * 5000, b"{", b"9" * 5000, b"NaN", b"null",
    b"\\ud800", b"\xef\xbb\xbf", b",", b"=", b"'''",
]  # fmt: skip

Writer = Callable[[Any], bytes]


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """``content`` with one to three of: bits flipped, cut off, blocks added, lost, moved."""
    for _ in range(draw(st.integers(1, 3))):
        content = draw(_blow(content))
    return content


@st.composite
def _blow(draw: st.DrawFn, content: bytes) -> bytes:
    size = len(content)
    at, end = sorted(draw(st.tuples(*[st.integers(0, size)] * 2)))
    block = content[at:end]
    kind = draw(st.sampled_from(["flip", "set", "cut", "insert", "delete", "repeat", "move"]))
    if kind in ("flip", "set") and at < size:
        byte = content[at] ^ (1 << draw(st.integers(0, 7)))
        if kind == "set":
            byte = draw(st.integers(0, 255))
        return content[:at] + bytes([byte]) + content[at + 1 :]
    if kind == "cut":
        return content[:at]
    if kind == "delete":
        few = at + draw(st.integers(1, 9))
        return content[:at] + content[few if draw(st.booleans()) else end :]
    if kind == "repeat":
        return content[:end] + block + content[end:]
    if kind == "move":
        rest = content[:at] + content[end:]
        to = draw(st.integers(0, len(rest)))
        return rest[:to] + block + rest[to:]
    extra = draw(st.one_of(st.sampled_from(_BLOCKS), st.binary(max_size=20)))
    return content[:at] + extra + content[at:]


@st.composite
def altered(draw: st.DrawFn, document: Any, write: Writer) -> bytes:
    """A file of ``document`` with one to three values changed, removed, doubled or renamed."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = [place for place in _places(document) if place[0]]
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        kind = draw(st.sampled_from(["replace", "replace", "remove", "double", "rename", "retype"]))
        value = holder[key]
        if kind == "remove":
            del holder[key]
        elif kind == "double" and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(value))
        elif kind == "rename" and isinstance(holder, dict):
            others = [key for _, key in places if isinstance(key, str)]
            holder[draw(st.sampled_from([*others, "", "x", key + "s"]))] = holder.pop(key)
        elif kind == "retype":
            holder[key] = draw(st.sampled_from([str(value), [value], {"a": value}]))
        else:
            holder[key] = copy.deepcopy(draw(st.sampled_from(NASTY)))
    return write(document)


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Where a value stands: its holder, and the key or index in it."""
    if isinstance(document, dict):
        keys: list[Any] = list(document)
    elif isinstance(document, list):
        keys = list(range(len(document)))
    else:
        return []
    below = [place for key in keys for place in _places(document[key])]
    return [(document, key) for key in keys] + below


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()


def as_json_lines(rows: Any) -> bytes:
    return b"".join(as_json(row) + b"\n" for row in rows)


def as_csv(rows: Any) -> bytes:
    """Rows of cells; what is no string is written as JSON has it."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, escapechar="\\")
    for row in rows:
        cells = row if isinstance(row, list) else [row]
        writer.writerow([c if isinstance(c, str) else json.dumps(c) for c in cells])
    return file.getvalue().encode()


def as_toml(document: Any) -> bytes:
    """One line for each key; tables within are inline."""
    lines = [f"{json.dumps(key)} = {_toml(value)}\n" for key, value in document.items()]
    return "".join(lines).encode()


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    # TOML has no null: an error of its grammar then.
    return json.dumps(value)
