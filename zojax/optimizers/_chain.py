"""Chains that keep zojax's promises from the estimator to the update."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from zojax import _check
from zojax._last import estimator_states
from zojax._mesh import laid_out
from zojax._types import Array
from zojax.directions import rounded


def chain(
    estimator: optax.GradientTransformation, *links: optax.GradientTransformation
) -> optax.GradientTransformationExtraArgs:
    """``optax.chain`` of an estimator and what follows it, with three promises more.

    Every named optimizer is one. Its state is that of ``optax.chain``.

    - A step of which no slope is usable, for its losses are not finite or ε is 0, leaves the
      parameters their bits and the links' states, moments and their counts, as they were; only
      learning rate schedules go on. (In ``optax.chain`` it is a gradient of zeros: moments decay,
      and the parameters move along them.)
    - Moments lie on devices as their parameters do.
    - Updates are rounded before they are added to the parameters, so that the replay of a logged
      run has the bits of the run.

    Args:
      estimator: The first link: ``zojax.spsa(...)``, say.
      *links: Links of optax or zojax, the learning rate among them.

    Returns:
      An optimizer whose ``update`` needs what the estimator's does.

    Cost: that of its links, and two elementwise operations on the update.

    Raises:
      TypeError: a link is no transformation.

    Examples:
      >>> import optax, zojax
      >>> tx = zojax.chain(
      ...     zojax.spsa(1e-3, key=0),
      ...     optax.clip_by_global_norm(1.0),
      ...     optax.add_decayed_weights(0.1),
      ...     optax.scale_by_learning_rate(1e-6),
      ... )
    """
    _check.transformation("chain", "estimator", estimator)
    for link in links:
        _check.transformation("chain", "links", link)
    inner: Any = optax.chain(estimator, *links)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        updates, new = inner.update(updates, state, params, **extra_args)
        updates = jax.tree.map(_rounded, updates)
        estimators = estimator_states(new[0])
        if not estimators:
            return updates, new
        rested = estimators[0].rested
        kept = map(partial(_kept, rested), state[1:], new[1:])
        updates = jax.tree.map(lambda update: jnp.where(rested, _nothing(update), update), updates)
        return updates, (new[0], *kept)

    return laid_out(optax.GradientTransformationExtraArgs(inner.init, update))


def _rounded(update: Array) -> Array:
    return rounded(update) if jnp.issubdtype(update.dtype, jnp.floating) else update


def _nothing(update: Array) -> Array:
    # x + -0 is x to the bit, also for x = -0.
    zero = complex(-0.0, -0.0) if jnp.iscomplexobj(update) else -0.0
    return jnp.full((), zero, update.dtype)


def _kept(rested: Array, before: Any, after: Any) -> Any:
    """A link's state after a step that may have rested."""
    if isinstance(after, optax.ScaleByScheduleState):
        return after  # its count is that of the steps, as the estimator's is
    if isinstance(after, optax.InjectStatefulHyperparamsState):
        kept = _kept(rested, before.inner_state, after.inner_state)
        return after._replace(inner_state=kept)
    if isinstance(after, tuple):
        kept = [_kept(rested, b, a) for b, a in zip(before, after, strict=True)]
        return type(after)(*kept) if hasattr(after, "_fields") else tuple(kept)
    return jax.tree.map(lambda b, a: jnp.where(rested, b, a), before, after)
