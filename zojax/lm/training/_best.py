"""The parameters with the best dev scores so far."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from zojax.lm.models import Params
from zojax.lm.training._evaluation import Scores


@dataclass
class Best:
    """The trainable parameters with the best dev scores so far, in host memory.

    Attributes:
      step: The step after which they were measured; 0 for the base model.
      dev: Their scores on dev.
      params: The trainable part of the parameters, as NumPy arrays.
    """

    step: int
    dev: Scores
    params: Params

    def offer(self, step: int, dev: Scores, params: Params) -> None:
        """Keep ``params`` if the task's metric is higher, or equal with a lower loss."""
        if (dev.metric, -dev.loss) > (self.dev.metric, -self.dev.loss):
            self.become(step, dev, params)

    def become(self, step: int, dev: Scores, params: Params) -> None:
        """Replace what is kept by a copy of ``params`` in host memory."""
        self.step, self.dev, self.params = step, dev, to_host(params)


def to_host(params: Params) -> Params:
    """Copy ``params`` into host memory."""
    # np.array copies. On CPU a view would share the buffer, and the next step could not donate it.
    return jax.tree.map(lambda leaf: np.array(leaf, copy=True), params)
