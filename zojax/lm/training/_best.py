"""The parameters that did best so far."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from zojax.lm.models import Params
from zojax.lm.training._evaluation import Scores


@dataclass
class Best:
    """The parameters that did best on dev so far, in host memory; those that move."""

    step: int
    dev: Scores
    params: Params

    def offer(self, step: int, dev: Scores, params: Params) -> None:
        """Keep ``params`` if they are better: by the task's metric, then with less loss."""
        if (dev.metric, -dev.loss) > (self.dev.metric, -self.dev.loss):
            self.become(step, dev, params)

    def become(self, step: int, dev: Scores, params: Params) -> None:
        """Keep ``params``."""
        self.step, self.dev, self.params = step, dev, to_host(params)


def to_host(params: Params) -> Params:
    """Copy ``params`` into host memory."""
    # A copy: a view, as NumPy takes on CPU, would keep the next step from taking the memory.
    return jax.tree.map(lambda leaf: np.array(leaf, copy=True), params)
