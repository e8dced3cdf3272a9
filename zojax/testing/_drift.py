"""Parameters that are only ever written by optax.apply_updates do not drift."""

from typing import Any

import jax
import jax.numpy as jnp

from zojax.testing._optimizer import MakeOptimizer
from zojax.testing._problem import parameters, step_with
from zojax.testing._promises import require_equal, run


def check_no_drift(make: MakeOptimizer, dtype: Any = jnp.float32, *, jit: bool = True) -> None:
    """Check that an optimizer whose learning rate is 0 leaves the parameters their bits.

    Args:
      make: Builds the optimizer, with learning rate 0.
      dtype: Of the parameters.
      jit: Whether its 100 steps run under ``jit``; ``evaluation="in_place"`` must not.

    Raises:
      BrokenPromiseError: A bit of a parameter has changed; −0.0 must stay −0.0, for which the
        update has to be −0.0. That of ``optax.scale_by_learning_rate(0.0)`` is 0.0 where the
        gradient is negative.
    """

    def stays(make: MakeOptimizer) -> None:
        tx = make()
        params = parameters(dtype)
        # An update of 0.0 leaves every number equal, and yet turns −0.0 into 0.0.
        params["zeros"] = jnp.full(8, -0.0, dtype)
        start = params
        state = tx.init(params)
        step = jax.jit(step_with(tx)) if jit else step_with(tx)
        for _ in range(100):
            params, state = step(params, state)
        require_equal(params, start, "After 100 steps its parameters have other bits.")

    run("check_no_drift", {"leave the parameters their bits at learning rate 0": stays}, make, None)
