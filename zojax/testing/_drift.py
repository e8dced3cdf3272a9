"""Check that an optimizer does not change parameters except by its updates."""

from typing import Any

import jax
import jax.numpy as jnp

from zojax.testing._optimizer import MakeOptimizer
from zojax.testing._problem import parameters, step_with
from zojax.testing._promises import require_equal, run


def check_no_drift(make: MakeOptimizer, dtype: Any = jnp.float32, *, jit: bool = True) -> None:
    """Check that an optimizer with learning rate 0 does not change any bit of the parameters.

    Args:
      make: Builds the optimizer, with learning rate 0.
      dtype: Dtype of the parameters.
      jit: Whether to run its 100 steps under ``jit``; must be False for ``evaluation="in_place"``.

    Raises:
      BrokenPromiseError: A bit of a parameter has changed. In particular −0.0 must remain −0.0,
        which needs an update of −0.0; ``optax.scale_by_learning_rate(0.0)`` gives 0.0 for negative
        gradients.
    """

    def stays(make: MakeOptimizer) -> None:
        tx = make()
        params = parameters(dtype)
        # Adding 0.0 changes no value, but it turns −0.0 into 0.0.
        params["zeros"] = jnp.full(8, -0.0, dtype)
        start = params
        state = tx.init(params)
        step = jax.jit(step_with(tx)) if jit else step_with(tx)
        for _ in range(100):
            params, state = step(params, state)
        require_equal(params, start, "After 100 steps its parameters have other bits.")

    run("check_no_drift", {"leave the parameters their bits at learning rate 0": stays}, make, None)
