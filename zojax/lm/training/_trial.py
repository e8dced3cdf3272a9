"""Steps from a run's start that are taken back: to try a rate, or to see how long a step takes."""

from __future__ import annotations

import itertools
import time
from typing import Any

import jax

from zojax.lm.processes import Spread
from zojax.lm.training._best import to_host
from zojax.lm.training._data import Data
from zojax.lm.training._optimizer import Optimizer
from zojax.lm.training._program import StepProgram
from zojax.lm.training._tuned import Tuned


class Trial:
    """Takes steps from the same parameters with the same batches, those of the run's first steps.

    No second copy of the model is on the devices: the trainable parameters wait on the host.

    Args:
      tuned: The initial model; its parameters' buffers are donated.
      data: The batches.
      program: The run's compiled step.
      spread: The run's devices.
      seed: The run's.
      steps: How many steps a trial takes, at least 2.
    """

    def __init__(
        self, tuned: Tuned, data: Data, program: StepProgram, spread: Spread, seed: int, steps: int
    ) -> None:
        self._tuned, self._data, self._program, self._spread = tuned, data, program, spread
        self._params = tuned.model.params
        self._start = to_host(tuned.moving(self._params))
        self._batches = [*itertools.islice(program.batches(data, seed), steps)]

    def take(self, optimizer: Optimizer) -> tuple[list[float], float]:
        """Take the steps; return their losses, and the seconds of a step without compiling."""
        params = self._restored()
        init = optimizer.tx.init
        state = jax.jit(init, out_shardings=self._spread.state_layout(init, params))(params)
        self._program.prepare(params, state, self._data)
        losses: list[Any] = []
        begin = 0.0
        for batch in self._batches:
            params, state, outcome = self._program.step(params, state, batch)
            losses.append(outcome.loss)
            if len(losses) == 1:  # what is done once, by JAX and by the device, is over then
                losses[0].block_until_ready()
                begin = time.perf_counter()
        values = [float(loss) for loss in losses]
        self._params = params
        return values, (time.perf_counter() - begin) / (len(values) - 1)

    def undone(self) -> Tuned:
        """The model as it was."""
        return self._tuned.at(self._restored())

    def _restored(self) -> Any:
        return self._spread.placed(self._tuned.full(self._start, self._params))
