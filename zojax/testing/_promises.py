"""How a suite of promises is run, and what its checks compare."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

Suite: TypeAlias = Mapping[str, Callable[[Any], None]]
"""From a promise, worded to follow "it must", to the check that raises where it is broken."""


class BrokenPromiseError(AssertionError):
    """What is checked does not keep one of the promises that zojax's own parts keep."""


def run(where: str, suite: Suite, subject: Any, promises: Iterable[str] | None) -> None:
    """Check ``subject`` against some promises of a suite; all for None.

    Raises:
      BrokenPromiseError: It names the first promise that is broken, and how.
      ValueError: The suite has no such promise.
    """
    for promise in suite if promises is None else promises:
        if promise not in suite:
            near = difflib.get_close_matches(promise, suite, 1, 0.0)[0]
            raise ValueError(f"{where}: there is no promise {promise!r}; the nearest is {near!r}.")
        try:
            suite[promise](subject)
        # Whatever it raises, such as a TypeError for an argument that it should ignore, is how
        # the promise is broken.
        except Exception as error:
            reason = str(error) if isinstance(error, AssertionError) else repr(error)
            raise BrokenPromiseError(f"{where}: it must {promise}. {reason}") from error


def require(kept: bool, otherwise: str) -> None:
    """Raise ``otherwise`` where a promise is not kept; ``assert`` would vanish under -O."""
    if not kept:
        raise AssertionError(otherwise)


def require_equal(first: Any, second: Any, otherwise: str) -> None:
    """Require that two trees of arrays have the same bits."""
    same = jax.tree.all(jax.tree.map(_same_bits, first, second))
    require(same, otherwise)


def _same_bits(first: Any, second: Any) -> bool:
    # As bytes, for 0.0 equals −0.0 and NaN does not equal itself.
    a, b = np.asarray(first), np.asarray(second)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def require_unbiased(draws: Any, mean: Any, what: str, names: Callable[[int], str]) -> None:
    """Require that the mean of independent draws is ``mean``, by a z-score under 4.5.

    Args:
      draws: float32 [n, d].
      mean: float32 [d].
      what: Whose mean it is, for the message.
      names: The name of one of the d elements.
    """
    draws = np.asarray(draws, np.float64)
    error = np.abs(draws.mean(0) - np.asarray(mean, np.float64))
    # What does not vary has a standard error of 0, and yet is rounded.
    rounding = 1e-4 * np.maximum(1.0, np.abs(np.asarray(mean, np.float64)))
    z_scores = np.maximum(error - rounding, 0.0) / (draws.std(0) / np.sqrt(len(draws)) + 1e-12)
    worst = int(z_scores.argmax())
    require(
        bool(z_scores[worst] < 4.5),
        f"{what} {names(worst)} is {draws.mean(0)[worst]:.4g} over {len(draws)} draws, where "
        f"{np.asarray(mean)[worst]:.4g} is promised: {z_scores[worst]:.1f} standard errors.",
    )


def structure(tree: Any) -> dict[str, str]:
    """From a leaf's path to its dtype and shape."""
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
