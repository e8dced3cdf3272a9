"""Reads the outcome of every step: checks that it is finite, and writes it into the log."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zojax.lm.settings import NonFinite
from zojax.lm.training._step import Outcome
from zojax.lm.training._window import Losses
from zojax.trajectory import LogWriter


class NonFiniteLossError(ArithmeticError):
    """The loss, a slope or the gradient became infinite or NaN."""


class Reader:
    """Called with the outcome of every step.

    Args:
      log: Where records are written; None for first-order optimizers, whose steps have no record.
      losses: Where losses are written.
      non_finite: What to do about an outcome that is not finite: see :class:`FinetuneConfig`.
      step: Steps that were read before.
      skipped: How many of the steps read before were not finite.
      taken: Called with the number of every step that is read, before it is logged.
    """

    def __init__(
        self,
        log: LogWriter | None,
        losses: Losses,
        non_finite: NonFinite,
        step: int,
        skipped: int,
        taken: Callable[[int], None] | None = None,
    ) -> None:
        self._taken = taken
        self._log, self._losses, self._non_finite = log, losses, non_finite
        self.step, self.skipped = step, skipped

    def __call__(self, outcome: Outcome) -> float:
        """Log a step and return its loss.

        Raises:
          NonFiniteLossError: The outcome is not finite and ``non_finite`` is ``"stop"``; the step
            is not logged.
          OSError: The log cannot be written.
        """
        loss, scalars = float(outcome.loss), np.asarray(outcome.scalars)
        if not (np.isfinite(loss) and np.isfinite(scalars).all()):
            if self._non_finite == "stop":
                what = f"loss must be finite, got {loss}"
                if np.isfinite(loss):
                    what = "slopes or the gradient must be finite, got an infinity or NaN"
                raise NonFiniteLossError(
                    f"train: the {what} at step {self.step + 1}. Lower the learning rate, or eps; "
                    'in float16, try bfloat16; or skip such steps with non_finite="skip".'
                )
            self.skipped += 1
        self._losses.add(self.step + 1, loss)
        if self._taken is not None:
            self._taken(self.step + 1)
        if self._log is not None:
            self._log.append(scalars)
        self.step += 1
        return loss
