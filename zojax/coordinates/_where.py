"""How a user names parameters, and which those are."""

import fnmatch
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from zojax.coordinates._paths import shapes, slash_paths

Pattern: TypeAlias = str | re.Pattern[str]

Where: TypeAlias = Pattern | Sequence[Pattern] | Callable[[str, Any], bool] | Any
"""Patterns, a function of path and leaf, or a tree of bools."""


def selected(where: str, choice: Where, params: Any) -> list[bool]:
    """For every leaf in tree order, whether ``choice`` names it.

    Args:
      where: Name of the caller, for messages.
      choice: A glob for a whole '/'-joined path, in which ``*`` stands for any text, slashes too;
        a compiled regular expression to be found in it; several of these; a function of path and
        leaf, which has a shape and a dtype and no values; or a tree of bools like ``params``, of
        which a bool may stand for a whole branch.
      params: Parameters; only paths, shapes and dtypes are read.

    Raises:
      ValueError: A pattern matches nothing, nothing is selected, or a tree of bools has another
        structure.
      TypeError: The function or the tree gives something else than bools.
    """
    paths = slash_paths(params)
    patterns = _patterns(choice)
    if patterns is not None:
        chosen = _by_pattern(where, patterns, paths)
    elif callable(choice):
        chosen = [choice(path, leaf) for path, leaf in zip(paths, shapes(params), strict=True)]
    else:
        chosen = _by_mask(where, choice, params)
    for path, value in zip(paths, chosen, strict=True):
        if not isinstance(value, bool | np.bool_):
            raise TypeError(
                f"{where}: where must give a bool for each path, got {value!r} at {path}."
            )
    if not any(chosen):
        raise ValueError(f"{where}: where selects no parameter. The first paths are {paths[:5]}.")
    return [bool(value) for value in chosen]


def _patterns(choice: Where) -> list[Pattern] | None:
    """The patterns that ``choice`` consists of, or None where it is something else."""
    if isinstance(choice, str | re.Pattern):
        return [choice]
    if isinstance(choice, list | tuple | set | frozenset) and choice:
        patterns: list[Any] = list(choice)
        if all(isinstance(pattern, str | re.Pattern) for pattern in patterns):
            return patterns
    return None


def _by_pattern(where: str, patterns: list[Pattern], paths: list[str]) -> list[bool]:
    chosen = [False] * len(paths)
    for pattern in patterns:
        matches = [_matches(pattern, path) for path in paths]
        if not any(matches):
            raise ValueError(
                f"{where}: no parameter matches {_text(pattern)!r}. The first paths are "
                f"{paths[:5]}."
            )
        chosen = [a or b for a, b in zip(chosen, matches, strict=True)]
    return chosen


def _matches(pattern: Pattern, path: str) -> bool:
    if isinstance(pattern, str):
        return fnmatch.fnmatchcase(path, pattern)
    return pattern.search(path) is not None


def _text(pattern: Pattern) -> str:
    return pattern if isinstance(pattern, str) else pattern.pattern


def _by_mask(where: str, mask: Any, params: Any) -> list[Any]:
    try:
        return jax.tree.leaves(jax.tree.broadcast(mask, params))
    except ValueError as error:
        raise ValueError(
            f"{where}: a tree of bools must have the structure of params, or a bool for a branch "
            f"of it, got {jax.tree.structure(mask)}."
        ) from error
