"""Adam's rule and AMSGrad's, whose moments rest by themselves and are replaced in place."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from zojax._types import Array, ScalarOrSchedule
from zojax.rules import in_float32


class RestingLink(optax.GradientTransformationExtraArgs):
    """A link of :func:`zojax.chain` that keeps its own state where a step rests.

    Its update is made from the state that is kept. So the new moments need not be known beside the
    old ones: where an update reads the old, XLA for CPUs copies them first. Its ``update`` is given
    ``rested``, bool [], and ``count``, int32 []: the steps before this one.
    """


def scale_by_moments(
    b1: ScalarOrSchedule, b2: ScalarOrSchedule, eps: ScalarOrSchedule, *, amsgrad: bool = False
) -> RestingLink:
    """``optax.scale_by_adam``, or its ``scale_by_amsgrad`` without bias correction, in float32.

    Args:
      b1, b2: Decays of the moments; floats or schedules of the step.
      eps: Added to the denominator; a float or a schedule.
      amsgrad: Divide by the largest second moment so far.

    Returns:
      A link with optax's state.
    """
    rule = optax.scale_by_amsgrad() if amsgrad else optax.scale_by_adam()

    def update(
        updates: Any, state: Any, params: Any = None, *, rested: Array, count: Array, **extra: Any
    ) -> tuple[Any, Any]:
        del params, extra
        # Numbers stay numbers: with x64 enabled they are then as precise as the moments.
        decay1, decay2, small = (n(count) if callable(n) else n for n in (b1, b2, eps))

        def kept(before: Any, after: Any) -> Any:
            return jax.tree.map(lambda b, a: jnp.where(rested, b, a), before, after)

        moments = {
            "count": kept(state.count, optax.safe_increment(state.count)),
            "mu": kept(state.mu, optax.tree.update_moment(updates, state.mu, decay1, 1)),
            "nu": kept(state.nu, optax.tree.update_moment(updates, state.nu, decay2, 2)),
        }
        mean, square = moments["mu"], moments["nu"]
        if amsgrad:
            # It is never less than the second moment, so a step that rests keeps it, too.
            moments["nu_max"] = square = jax.tree.map(jnp.maximum, state.nu_max, square)
        else:
            # In a first step that rests the count is 0, and the update is of no use.
            steps = jnp.maximum(moments["count"], 1)
            mean = optax.tree.bias_correction(mean, decay1, steps)
            square = optax.tree.bias_correction(square, decay2, steps)
        updates = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + small), mean, square)
        return updates, state._replace(**moments)

    link = optax.GradientTransformationExtraArgs(
        rule.init,
        update,  # pyright: ignore[reportArgumentType] - chain gives what it asks for
    )
    return RestingLink(*in_float32(link))
