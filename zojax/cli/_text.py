"""Wraps prose to the width of a terminal; commands, paths and other names stay whole."""

from __future__ import annotations

import re
import shutil
import textwrap
from typing import TextIO

_WIDEST = 100  # columns; longer lines are hard to read on any terminal
# Spaces inside these do not end a line: a command that is copied must be one line.
_WHOLE = re.compile(r"`[^`]*`|pip install \"[^\"]*\"|zojax [a-z]+ --help")
_HELD = "\x00"


def columns(stream: TextIO) -> int | None:
    """How wide prose may be on a stream; None for a file or a pipe, where lines are not wrapped."""
    if not stream.isatty():
        return None
    return min(shutil.get_terminal_size().columns, _WIDEST)


def wrapped(text: str, width: int | None, *, indent: str = "") -> str:
    """Wrap each line of a text between words.

    Args:
      text: The text; a line that begins with a space, such as a command to copy, stays as it is.
      width: Columns of a line; None leaves lines as they are.
      indent: What each line begins with.
    """
    lines = text.split("\n")
    if width is None:
        return "\n".join(f"{indent}{line}" for line in lines)
    return "\n".join(_fill(line, width, indent) for line in lines)


def _fill(line: str, width: int, indent: str) -> str:
    if not line or line[0] == " ":
        return f"{indent}{line}".rstrip()
    held = _WHOLE.sub(lambda found: found[0].replace(" ", _HELD), line)
    filled = textwrap.fill(
        held,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.replace(_HELD, " ")
