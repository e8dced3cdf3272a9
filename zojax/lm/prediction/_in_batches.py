"""A compiled function of batches, applied to a stream of examples in order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import jax
import numpy as np

from zojax.lm.models import Params
from zojax.lm.processes import Spread
from zojax.lm.tasks import Batch, Examples, View
from zojax.lm.training import CompiledByShape

_WINDOW = 4  # batches that are read at once, so that rows of similar length share a batch
_SHORTEST = 16  # the shortest padded length, in tokens

Result = tuple[np.ndarray, ...]
"""What the function returns for one example: a row of each of its arrays."""


T = TypeVar("T")


class InBatches(Generic[T]):
    """Applies a function of batches to a stream of examples, and yields its results in order.

    Rows are padded to a power of two of tokens, and a stream's batches all have the same number of
    examples, so only a few programs are compiled: one for each padded length that occurs.

    Args:
      function: ``(params, batch) -> tuple of arrays``, each with a row for each example.
      name: What the function is called in ``announce``.
      params: The parameters.
      prompts_of: Makes rows of tokens of examples.
      longest: The longest padded length, in tokens.
      view: Which rows of an example the function reads.
      announce: Called with a line that says what is being compiled.
      spread: The devices over which a batch's examples are distributed.
    """

    def __init__(
        self,
        function: Callable[[Params, Batch], tuple[jax.Array, ...]],
        name: str,
        params: Params,
        prompts_of: Callable[[Sequence[T]], Examples],
        longest: int,
        view: View,
        announce: Callable[[str], None],
        spread: Spread,
    ) -> None:
        self._compiled = CompiledByShape(
            function,
            name,
            announce,
            place=spread.shared_rows,
            out_shardings=spread.everywhere,
        )
        self._params, self._prompts_of = params, prompts_of
        self._view: View = view
        self._longest = longest

    def stream(self, examples: Iterable[T | None], batch_size: int) -> Iterator[Result | None]:
        """Yield each example's result; None for None.

        At most four batches are read ahead of what has been yielded.

        Args:
          examples: Examples without labels; None in the place of a row that has no text.
          batch_size: Most examples of a batch. A stream shorter than a batch has a smaller one.
        """
        rows, size = iter(examples), 0
        while window := list(itertools.islice(rows, _WINDOW * batch_size)):
            size = size or min(batch_size, _power_of_two(len(window)))
            present = [example for example in window if example is not None]
            results = iter(self._of(present, size))
            for example in window:
                yield None if example is None else next(results)

    def _of(self, examples: Sequence[T], size: int) -> list[Result]:
        if not examples:
            return []
        prompts = self._prompts_of(examples)
        lengths = prompts.lengths_of(self._view)
        order = np.argsort(lengths, kind="stable")
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        # All are dispatched before the first result is read, so that the device never idles.
        dispatched = [
            self._compiled(
                self._params,
                prompts.batch(part, self._padded(int(lengths[part[-1]])), size, self._view),
            )
            for part in parts
        ]
        results: dict[int, Result] = {}
        for part, arrays in zip(parts, dispatched, strict=True):
            on_host: list[Any] = [np.asarray(array) for array in arrays]
            # Rows that only fill the batch up come after its examples and are left out.
            results.update(zip(part.tolist(), zip(*on_host, strict=True), strict=False))
        return [results[place] for place in range(len(examples))]

    def _padded(self, length: int) -> int:
        return min(max(_SHORTEST, _power_of_two(length)), self._longest)


def _power_of_two(number: int) -> int:
    """The smallest power of two that is at least ``number``."""
    return 1 << (number - 1).bit_length()
