"""Runs a suite of promises; comparisons that its checks use."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

Suite: TypeAlias = Mapping[str, Callable[[Any], None]]
"""Promises, worded to follow "it must", and for each the check that raises if it is broken."""


class BrokenPromiseError(AssertionError):
    """The object that is checked breaks one of the promises that zojax's own parts keep."""


def run(where: str, suite: Suite, subject: Any, promises: Iterable[str] | None) -> None:
    """Check that ``subject`` keeps some promises of a suite, or all if ``promises`` is None.

    Raises:
      BrokenPromiseError: A promise is broken; the message names the first one and how it fails.
      ValueError: The suite has no such promise.
    """
    for promise in suite if promises is None else promises:
        if promise not in suite:
            near = difflib.get_close_matches(promise, suite, 1, 0.0)[0]
            raise ValueError(f"{where}: there is no promise {promise!r}; the nearest is {near!r}.")
        try:
            suite[promise](subject)
        # Any exception breaks the promise, such as a TypeError for an argument that should be
        # ignored.
        except Exception as error:
            reason = str(error) if isinstance(error, AssertionError) else repr(error)
            raise BrokenPromiseError(f"{where}: it must {promise}. {reason}") from error


def require(kept: bool, message: str) -> None:
    """Raise ``message`` if a promise is not kept; an ``assert`` would be removed by -O."""
    if not kept:
        raise AssertionError(message)


def require_equal(first: Any, second: Any, message: str) -> None:
    """Require that two trees of arrays have the same bits."""
    same = jax.tree.all(jax.tree.map(_same_bits, first, second))
    require(same, message)


def _same_bits(first: Any, second: Any) -> bool:
    # Bytes are compared because 0.0 equals −0.0, and NaN does not equal itself.
    a, b = np.asarray(first), np.asarray(second)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def require_unbiased(draws: Any, mean: Any, what: str, names: Callable[[int], str]) -> None:
    """Require that independent draws have the mean ``mean``, by a z-score below 4.5.

    Args:
      draws: n draws, float32 [n, d].
      mean: The expected mean, float32 [d].
      what: What has this mean, for the message.
      names: Returns the name of one of the d elements, for the message.
    """
    draws = np.asarray(draws, np.float64)
    error = np.abs(draws.mean(0) - np.asarray(mean, np.float64))
    # Rounding errors are allowed, because an element that does not vary has a standard error of 0.
    rounding = 1e-4 * np.maximum(1.0, np.abs(np.asarray(mean, np.float64)))
    z_scores = np.maximum(error - rounding, 0.0) / (draws.std(0) / np.sqrt(len(draws)) + 1e-12)
    worst = int(z_scores.argmax())
    require(
        bool(z_scores[worst] < 4.5),
        f"{what} {names(worst)} is {draws.mean(0)[worst]:.4g} over {len(draws)} draws, where "
        f"{np.asarray(mean)[worst]:.4g} is promised: {z_scores[worst]:.1f} standard errors.",
    )


def structure(tree: Any) -> dict[str, str]:
    """Describe a tree: the dtype and shape of each leaf by its path."""
    return {
        jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def require_structure(before: Any, after: Any, when: str) -> None:
    """Require that two trees have the same leaves, with the same dtypes and shapes."""
    first, second = structure(before), structure(after)
    changes = [
        f"{path} is {second.get(path, 'gone')} {when}, was {first.get(path, 'absent')}"
        for path in {**first, **second}
        if first.get(path) != second.get(path)
    ]
    require(not changes, "; ".join(changes) + ".")
    require(
        jax.tree.structure(before) == jax.tree.structure(after),
        f"The tree is {jax.tree.structure(after)} {when}, was {jax.tree.structure(before)}.",
    )
