"""Names in messages: lists of them, and the one that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

_MOST = 10


def listed(names: Sequence[str]) -> str:
    """The names in quotes; of many, the first ten and how many there are."""
    shown = ", ".join(map(repr, names[:_MOST]))
    return shown if len(names) <= _MOST else f"{shown} … ({len(names)} in all)"


def near(got: object, names: Sequence[str]) -> str:
    """A hint at the name that ``got`` was probably meant to be; empty if there is none.

    >>> near("Biling", ["billing", "sales"])
    " (did you mean 'billing'?)"
    """
    if not isinstance(got, str):
        return ""
    by_lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(got.lower(), by_lower, n=1)
    return f" (did you mean {by_lower[found[0]]!r}?)" if found else ""
