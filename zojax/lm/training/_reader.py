"""What every step has measured goes into the log, and is looked at."""

from __future__ import annotations

import numpy as np

from zojax.lm.training._config import NonFinite
from zojax.lm.training._step import Outcome
from zojax.lm.training._window import Losses
from zojax.trajectory import LogWriter


class NonFiniteLossError(ArithmeticError):
    """The loss, a slope or the gradient became infinite or no number."""


class Reader:
    """Hears the outcome of every step.

    Args:
      log: Takes the records; None for first-order optimizers, which have none.
      losses: Takes the losses.
      non_finite: What an outcome that is not finite does: see :class:`FinetuneConfig`.
      step: Steps that were read before.
      skipped: How many of them were not finite.
    """

    def __init__(
        self, log: LogWriter | None, losses: Losses, non_finite: NonFinite, step: int, skipped: int
    ) -> None:
        self._log, self._losses, self._non_finite = log, losses, non_finite
        self.step, self.skipped = step, skipped

    def __call__(self, outcome: Outcome) -> float:
        """Log a step; return its loss.

        Raises:
          NonFiniteLossError: It is not finite, and that ends the run. The log ends before it.
          OSError: The log cannot be written.
        """
        loss, scalars = float(outcome.loss), np.asarray(outcome.scalars)
        if not (np.isfinite(loss) and np.isfinite(scalars).all()):
            if self._non_finite == "stop":
                what = f"loss must be finite, got {loss}"
                if np.isfinite(loss):
                    what = "slopes or the gradient must be finite, got others"
                raise NonFiniteLossError(
                    f"train: the {what} at step {self.step + 1}. Lower the learning rate, or eps; "
                    'in float16, try bfloat16; or go on without such steps, non_finite="skip".'
                )
            self.skipped += 1
        self._losses.add(self.step + 1, loss)
        if self._log is not None:
            self._log.append(scalars)
        self.step += 1
        return loss
