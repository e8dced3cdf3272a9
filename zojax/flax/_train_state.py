"""A step of linen's ``TrainState``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import optax
from flax.linen import fp8_ops

from zojax import ValueFn
from zojax.flax._takes_losses import check_takes_losses

if TYPE_CHECKING:
    from flax.training.train_state import TrainState

State = TypeVar("State", bound="TrainState")


def update_train_state(
    state: State, value_fn: ValueFn, *, extra_args: Mapping[str, Any] | None = None, **changes: Any
) -> State:
    """One step of a ``TrainState`` whose ``tx`` takes losses: ``apply_gradients`` with a loss.

    Args:
      state: ``flax.training.train_state.TrainState`` or a subclass of it.
      value_fn: From ``state.params`` to the loss, float32 []. What else it needs, such as the
        batch, ``batch_stats`` or a dropout key, it closes over, so that it is one function of the
        parameters.
      extra_args: Further arguments of ``tx.update``, such as ``meter``.
      **changes: Fields of the state to replace besides, as of ``apply_gradients``.

    Returns:
      The state with its ``step`` one on, and its ``params`` and ``opt_state`` those of the step.
      ``zojax.last_loss(state)`` is its loss.

    Cost: that of ``tx``.

    Raises:
      ValueError: ``state.tx`` is one that takes gradients, or ``state.params`` has flax's scales
        for products of 8 bits, which follow from gradients.

    Examples:
      >>> import jax, jax.numpy as jnp, zojax, zojax.flax
      >>> from flax import linen as nn
      >>> from flax.training.train_state import TrainState
      >>> model, inputs = nn.Dense(1), jnp.ones((8, 4))
      >>> state = TrainState.create(
      ...     apply_fn=model.apply,
      ...     params=model.init(jax.random.key(0), inputs)["params"],
      ...     tx=zojax.mezo(1e-2, eps=1e-3, key=0),
      ... )
      >>> def value_fn(params):
      ...     return jnp.mean((state.apply_fn({"params": params}, inputs) - 1.0) ** 2)
      >>> state = zojax.flax.update_train_state(state, value_fn)
      >>> state.step
      1
    """
    check_takes_losses("update_train_state", "state.tx", state.opt_state)
    scales = fp8_ops.OVERWRITE_WITH_GRADIENT
    tree: Any = state.params
    if isinstance(tree, Mapping) and scales in tree:
        raise ValueError(
            f"update_train_state: params must not have {scales!r}, the scales of products of 8 "
            f"bits, for they follow from gradients, and a step has none. Use layers without them."
        )
    updates, opt_state = state.tx.update(
        None,  # pyright: ignore[reportArgumentType] - an estimator needs no gradient
        state.opt_state,
        state.params,
        value_fn=value_fn,  # pyright: ignore[reportCallIssue] - of transformations with extra args
        **(extra_args or {}),
    )
    params = optax.apply_updates(state.params, updates)
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state, **changes)
