"""Takes a step forwards, backwards or not at all, whichever has the least loss."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from zojax import _check
from zojax._asking import Asking
from zojax._meter import Measured, Meter
from zojax._types import Array, Evaluation, HasAux, Params, ValueFn
from zojax._xla import opaque
from zojax.directions import GivenNoise
from zojax.estimators import no_loss_yet
from zojax.streaming import EVALUATIONS, Objective


class ConservativeState(NamedTuple):
    """State of :func:`conservative`."""

    sign: Array  # float32 []: 0 if the last step was not taken, 1 if it was, -1 if backwards
    least: Array  # float32 []: the batch's loss after the last step; inf before the first


def conservative(
    *, evaluation: Evaluation = "streamed", has_aux: HasAux = False
) -> optax.GradientTransformationExtraArgs:
    r"""Compares the update u with -u and with none, and takes the best.

    .. math::
        u \leftarrow s\,u, \qquad s = \arg\min_{s \in \{0, 1, -1\}} L(\theta + s\,u; B)

    Staying wins a tie, and wins over losses that are not finite, so the batch's loss never
    increases.

    Args:
      evaluation: As in :func:`zojax.spsa`.
      has_aux: Whether ``value_fn`` returns a pair (loss, aux); aux is dropped.

    Returns:
      A link to put last in a chain, after the learning rate. ``update`` needs ``params`` and
      ``value_fn``.

    Cost: 3 forward passes; one buffer of the parameters' size for u, which all three read.
    Error: the minimum is over one batch. Where a compiler skips the rounding of a bfloat16
      parameter before a wider operation, as XLA may, the losses compared are of the unrounded
      parameters.

    Raises:
      ValueError: ``evaluation`` is unknown, ``update`` got no ``params``, or no parameter is
        floating-point.
      TypeError: ``value_fn`` is no scalar function, or a parameter is complex or a key.

    References:
      Zhang et al., 2024, arXiv:2402.11592.

    Examples:
      >>> import jax.numpy as jnp, optax, zojax
      >>> tx = optax.chain(zojax.spsa(1e-3, key=0), optax.adam(1e-2), zojax.conservative())
    """
    _check.one_of("conservative", "evaluation", evaluation, EVALUATIONS)

    def init(params: Params) -> ConservativeState:
        _check.parameters("conservative", params)
        return ConservativeState(jnp.zeros((), jnp.float32), no_loss_yet())

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_fn: ValueFn | None = None,
        obj_fn: ValueFn | None = None,
        meter: Meter | None = None,
        query_axis: str | None = None,
        model_bytes: int = 0,
        asking: Asking | None = None,
        **extra_args: Any,
    ) -> tuple[Any, ConservativeState]:
        del state, extra_args
        params = _check.parameters("conservative", params)
        value_fn = _check.loss_function("conservative", value_fn, obj_fn)
        # One opaque buffer: otherwise XLA draws part of u again for the update, and keeps the rest
        # as well.
        updates = opaque(updates)

        def measure() -> Measured:
            aux_is_there = not isinstance(has_aux, bool) or has_aux
            objective = Objective(
                "conservative",
                value_fn,
                params,
                aux_is_there,
                query_axis,
                model_bytes,
                asking,
            )
            loss = objective.at(evaluation)
            # A parameter that an earlier select leaves out has a scalar update.
            step = [
                GivenNoise(jnp.broadcast_to(update, jnp.shape(parameter)))
                if jnp.issubdtype(update.dtype, jnp.floating)
                else None
                for update, parameter in zip(
                    jax.tree.leaves(updates), jax.tree.leaves(params), strict=True
                )
            ]
            signs = jnp.array([0.0, 1.0, -1.0], jnp.float32)
            losses, _ = objective.losses_at(lambda i: loss(step, signs[i]), 3, evaluation)
            most = jnp.asarray(jnp.finfo(losses.dtype).max, losses.dtype)
            best = jnp.argmin(jnp.where(jnp.isfinite(losses), losses, most))
            least = losses[best].astype(jnp.float32)
            return Measured(signs[best][None], jnp.ones(1, bool), least)

        found = measure() if meter is None else meter("sign", 1, measure)
        [sign], least = found.scalars, found.value
        tried = jax.tree.map(lambda update: update * sign.astype(update.dtype), updates)
        # Where the parameters stay, the update is −0.0: 0 · inf would be NaN, and θ + 0.0 would
        # turn a −0.0 into 0.0.
        taken = jax.tree.map(lambda x: jnp.where(sign == 0, jnp.asarray(-0.0, x.dtype), x), tried)
        return taken, ConservativeState(sign, least)

    return optax.GradientTransformationExtraArgs(init, update)
