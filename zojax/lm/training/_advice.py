"""What to try when a run does not get better."""

from __future__ import annotations

import math

from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._best import Best
from zojax.lm.training._evaluation import Scores

# Evaluations on dev without a better one, after which it is said.
STUCK = 5
# How much the loss on dev has to move to count: a fiftieth of it up or down, and a fifth to be
# called growth.
MOVED, GROWN = 0.02, 0.2
_STEP = 3.0


class Advice:
    """Says once that the loss grows, and once that dev does not get better.

    Args:
      config: The run's resolved configuration.
      start: The loss on dev before the first step, nats.
    """

    def __init__(self, config: FinetuneConfig, start: float) -> None:
        self._config, self._start = config, start
        self._grown = self._stuck = False

    def after(self, step: int, dev: Scores, best: Best) -> str | None:
        """What to try, if there is something to say after a step at which dev was measured.

        Args:
          step: Steps taken.
          dev: Scores on dev after them.
          best: The best parameters so far, those of this step included.
        """
        if dev.reward is not None:
            return self._of_reward(step, best)
        lowest = min(self._start, best.dev.loss)
        if not self._grown and (not math.isfinite(dev.loss) or dev.loss > (1 + GROWN) * lowest):
            self._grown = True
            return (
                f"the loss on dev has grown from {lowest:.3f} to {dev.loss:.3f}: the learning rate "
                f"{self._rate:g} is too large. {self._try(self._rate / _STEP)}"
            )
        evaluations = (step - best.step) // self._config.eval_every
        if self._stuck or self._grown or evaluations < STUCK:
            return None
        self._stuck = True
        if abs(dev.loss - self._start) < MOVED * self._start:
            return (
                f"the loss on dev has hardly moved in {step} steps, from {self._start:.3f} to "
                f"{dev.loss:.3f}: the learning rate {self._rate:g} may be too small. "
                f"{self._try(self._rate * _STEP)}"
            )
        return (
            f"no better score on dev since step {best.step}. A smaller learning rate or more "
            f"examples a step may help. {self._try(self._rate / _STEP)} --patience ends a run here."
        )

    def _of_reward(self, step: int, best: Best) -> str | None:
        if self._stuck or (step - best.step) // self._config.eval_every < STUCK:
            return None
        self._stuck = True
        return (
            f"no higher reward on dev since step {best.step}. Where the members' rewards hardly "
            f"differ (reward_spread), take a larger eps; where they do, another rate than "
            f"{self._rate:g}, or more prompts a step. --patience ends a run here."
        )

    @property
    def _rate(self) -> float:
        return float(self._config.hyper.learning_rate or 0.0)

    def _try(self, rate: float) -> str:
        return f"Try --learning-rate {rate:.1g}, or auto, which searches one."
