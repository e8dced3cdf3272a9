"""The parts of a page that are made: between comments that no reader sees, in plain Markdown.

So a page shows the same on the site and on a code host::

    <!-- results: digits.json -->            a result's table
    <!-- table: ways -->                     one that is put together of several results
    <!-- include: ../benchmarks/table.md -->  a file, but for its title
    <!-- /made -->                           ends each of these

    <!--of main_job.json :: label words, a constant rate :: start-->59.9 ± 0.0<!--/-->
    <!--of minutes of the main job-->1 to 4<!--/-->

The last two are numbers within a sentence: a file, the first values of the row and the column; or
one that is computed. What stands before the end of a part, or within a number, is replaced. A fence
``{benchmark-results} digits.json`` becomes a part.
"""

from __future__ import annotations

import re
from pathlib import Path

from _make.results import cell, row, shown
from _make.tables import NUMBERS, TABLES

_PART = re.compile(
    r"^<!-- (results|table|include): (.+?) -->\n.*?^<!-- /made -->$", re.MULTILINE | re.DOTALL
)
_NUMBER = re.compile(r"<!--of ([^>]+?)-->.*?<!--/-->", re.DOTALL)
_FENCE = re.compile(r"^```\{benchmark-results\} (\S+)\n```$", re.MULTILINE)
_TITLE = re.compile(r"\A# .*\n+")


def made(text: str, folder: Path) -> str:
    """A page with all its parts made anew.

    Args:
      text: The page.
      folder: Where it lies; files that it includes are named from there.

    Raises:
      ValueError: A number begins a line, or a result has not what the page asks for.
    """
    if at_start := re.search(r"^ *<!--of.*$", text, re.MULTILINE):
        raise ValueError(f"{at_start[0]!r}: a comment that begins a line ends the paragraph.")
    text = _FENCE.sub(r"<!-- results: \1 -->\n<!-- /made -->", text)
    text = _PART.sub(lambda found: _part(found[1], found[2], folder), text)
    return _NUMBER.sub(lambda found: f"<!--of {found[1]}-->{_number(found[1])}<!--/-->", text)


def _number(name: str) -> str:
    if name in NUMBERS:
        return NUMBERS[name]()
    file, start, column = name.split(" :: ")
    return cell(row(file, start)[column])


def _part(kind: str, name: str, folder: Path) -> str:
    if kind == "results":
        lines = shown(name)
    elif kind == "table":
        lines = TABLES[name]()
    else:
        # A file's title goes: the page has one of its own.
        lines = [_TITLE.sub("", (folder / name).read_text(encoding="utf-8")).strip()]
    return "\n".join([f"<!-- {kind}: {name} -->", "", *lines, "", "<!-- /made -->"])
