"""The promise of optimizers whose runs can be rebuilt from a log, and its check."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zojax.streaming import compiler_options
from zojax.testing._optimizer import MakeOptimizer
from zojax.testing._problem import loss, parameters
from zojax.testing._promises import require, require_equal, run
from zojax.trajectory import Recorder, Replayer

STEPS = 6
BAD = 3  # the step whose loss is NaN


def check_replay(make: MakeOptimizer, dtype: Any = jnp.float32) -> None:
    """Check that what a run records is enough to rebuild its parameters, to the bit.

    An optimizer whose updates depend on more than its keys and recorded scalars, such as
    :func:`zojax.hybrid` on gradients, cannot keep this promise. One of the run's 6 steps has a loss
    that is NaN.

    Args:
      make: Builds the optimizer.
      dtype: Dtype of the parameters.

    Cost: seconds, for compiling a step and its replay.

    Raises:
      BrokenPromiseError: The replayed parameters have other bits, or the replay fails.

    Examples:
      >>> import zojax, zojax.testing
      >>> zojax.testing.check_replay(lambda: zojax.mezo(1e-2, eps=1e-2, key=0))
    """

    def is_rebuilt(make: MakeOptimizer) -> None:
        params, scalars = _recorded(make(), dtype)
        tx, start = make(), parameters(dtype)
        rebuilt, _ = Replayer(tx).take(start, tx.init(start), scalars)
        require_equal(rebuilt, params, f"After {STEPS} steps the replay has other bits.")

    run("check_replay", {"be rebuilt from what it records, to the bit": is_rebuilt}, make, None)


def _recorded(tx: optax.GradientTransformation, dtype: Any) -> tuple[Any, np.ndarray]:
    """Return the parameters after a run, and what its steps recorded, float32 [n, k]."""
    transformation = optax.with_extra_args_support(tx)

    def step(params: Any, state: Any, scale: Any) -> tuple[Any, Any, Any]:
        recorder = Recorder()
        updates, state = transformation.update(
            None,  # pyright: ignore[reportArgumentType] - an estimator needs no gradient
            state,
            params,
            value_fn=lambda p: scale * loss(p),
            meter=recorder,
        )
        return optax.apply_updates(params, updates), state, recorder.scalars

    compiled = jax.jit(step, compiler_options=compiler_options())
    params = start = parameters(dtype)
    state, rows = tx.init(params), list[np.ndarray]()
    for count in range(STEPS):
        scale = jnp.float32(jnp.nan if count == BAD else 1.0)
        params, state, scalars = compiled(params, state, scale)
        rows.append(np.asarray(scalars))
    moved = jax.tree.map(lambda before, after: bool((before != after).any()), start, params)
    require(any(jax.tree.leaves(moved)), f"In {STEPS} steps no parameter moved.")
    return params, np.stack(rows)
