"""The help of a command: what it does, an example, and its options by section."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

from zojax.cli._commands import COMMANDS
from zojax.cli._options import Option, options_of
from zojax.cli._sections import SECTIONS
from zojax.cli._text import wrapped

_WIDTH = 80  # columns
_VALUES = {str: "TEXT", int: "INT", float: "FLOAT", Path: "PATH"}


def help_of(command: str, kind: type) -> str:
    """Write the help of a command.

    Args:
      command: Its name.
      kind: Its dataclass, whose docstring says what it does. An option that none of the command's
        sections takes is shown after them.
    """
    options = options_of(kind)
    positional = " ".join(one.name.upper() for one in options if one.positional)
    lines = [
        "example:",
        f"  {COMMANDS[command].example}",
        "",
        " ".join(filter(None, ["usage: zojax", command, positional, "[OPTIONS]"])),
        "",
        _about(kind),
    ]
    sections = SECTIONS.get(command, {})
    rest = "other options" if sections else "options"
    shown: set[str] = set()
    for title, belongs in [*sections.items(), (rest, lambda _: True)]:
        found = [one for one in options if one.name not in shown and belongs(one)]
        shown |= {one.name for one in found}
        if found:
            lines += ["", f"{title}:"]
        for one in found:
            lines += _entry(one)
    return "\n".join(lines)


def _about(kind: type) -> str:
    """The dataclass's docstring, with its paragraphs wrapped anew."""
    paragraphs = (inspect.getdoc(kind) or "").replace("``", "`").split("\n\n")
    return "\n\n".join(
        one if one.startswith("-") else wrapped(" ".join(one.split()), _WIDTH) for one in paragraphs
    )


def _entry(one: Option) -> list[str]:
    flag = one.name.upper() if one.positional else one.flag
    if one.kind is bool and one.default is not False:
        flag = f"{one.flag}, --no-{one.flag.removeprefix('--')}"
    values = _values(one)
    head = f"  {flag} {values}".rstrip()
    if len(head) > _WIDTH:
        head = "\n".join([f"  {flag}", wrapped(values.replace(",", ", "), _WIDTH, indent=" " * 6)])
    return [head, wrapped(f"{one.help}{_default(one)}", _WIDTH, indent=" " * 6)]


def _values(one: Option) -> str:
    if one.kind is bool or (one.positional and not one.choices):
        return ""
    words = f"{{{','.join(one.choices)}}}" if one.choices else ""
    value = (
        words if one.kind is str and words else "|".join(filter(None, (_VALUES[one.kind], words)))
    )
    if one.number is None:
        return value
    return " ".join([value] * one.number) if one.number else f"{value} ..."


def _default(one: Option) -> str:
    if one.default is dataclasses.MISSING:
        return "" if one.positional else " (required)"
    if one.default is None or one.default is False:
        return ""
    shown: Any = one.default
    if isinstance(shown, tuple):
        shown = " ".join(map(str, shown))
    return f" (default: {shown})"
