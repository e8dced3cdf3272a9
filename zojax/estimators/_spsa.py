"""Gradients from differences of losses along random directions."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from zojax import _check
from zojax._meter import Measured, Meter, measured
from zojax._types import (
    Array,
    Difference,
    Evaluation,
    KeyLike,
    Params,
    ScalarOrSchedule,
    ValueFn,
)
from zojax.directions import Direction, Draws, Gaussian, LeafNoise, drawn
from zojax.streaming import EVALUATIONS, Loss, loss_at, losses_at


class SpsaState(NamedTuple):
    """State of :func:`spsa`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: updates taken
    key: Array  # typed key []: constant; step t draws from fold_in(key, t)
    value: Array  # float32 []: mean of the step's losses, in the loss's unit; inf before the first


def spsa(
    eps: ScalarOrSchedule,
    key: KeyLike,
    *,
    num_queries: int = 1,
    direction: Direction = Gaussian(),  # noqa: B008 (frozen)
    difference: Difference = "central",
    evaluation: Evaluation = "streamed",
    batched: bool = False,
    slope_sign: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Estimates the gradient from losses at both ends of random directions.

    .. math::
        \hat g = \frac1q \sum_i
        \frac{L(\theta + \epsilon z_i) - L(\theta - \epsilon z_i)}{2\epsilon}\, z_i

    or, with ``difference="forward"``, :math:`(L(\theta + \epsilon z_i) - L(\theta))/\epsilon`.

    Args:
      eps: Perturbation scale in parameter units; a float > 0 or a schedule of ``count``.
      key: Typed PRNG key or int seed. ``(key, count)`` alone replays any step.
      num_queries: Directions per step, q ≥ 1.
      direction: Draws z, shaped like each leaf, with E[z zᵀ] = I.
      difference: ``"central"`` or ``"forward"``.
      evaluation: ``"streamed"`` perturbs each weight where it is consumed; ``"copy"`` makes a
        perturbed copy; ``"in_place"`` rewrites one copy outside jit, for a ``value_fn`` that is
        not JAX. All see the same z to the bit.
      batched: Evaluate all points of the step in one pass rather than one after the other. Meant
        for :class:`zojax.LowRank`, whose points share each product with the weights; other
        directions hold every point's perturbed weight at once.
      slope_sign: Put the sign of each query's slope in the slope's place.

    Returns:
      A transformation to put first in a chain; it ignores the updates it is given, which may be
      ``None``. Wrappers that look at gradients (``optax.apply_if_finite``, ``optax.MultiSteps``)
      go around what follows it in the chain. ``update`` needs ``params`` and
      ``value_fn(params) -> float []``. Its updates have the parameters' dtypes; integer leaves
      stay. With ``meter``, a :class:`zojax.trajectory.Recorder`, the slopes are noted for a log.

    Cost: 2q forward passes (q + 1 with the forward difference); no memory beyond a forward pass
      when streamed and fused into the step, one copy of the parameters otherwise. ``batched``: one
      forward pass over a batch 2q (q + 1) times as large.
    Error: bias O(eps²), zero on quadratics (forward: O(eps)); as eps → 0, E‖ĝ‖² → (d + 2)‖∇L‖²
      for one Gaussian direction, d‖∇L‖² for one of random signs; rounding in the slope about
      ulp(L) / eps. bfloat16 weights near 1 swallow an eps below 2⁻⁸.

    Raises:
      ValueError: ``eps`` is not positive, ``num_queries`` < 1, or ``update`` got no ``params``.
      TypeError: ``key`` is no key, ``direction`` no direction, or ``value_fn`` no scalar function.

    References:
      Spall, 1992, doi:10.1109/9.119632. Malladi et al., 2023, arXiv:2305.17333, Definition 1.

    Examples:
      >>> import jax.numpy as jnp, optax, zojax
      >>> tx = optax.chain(zojax.spsa(1e-3, key=0), optax.lion(1e-2))
      >>> params = jnp.array([1.0, -2.0])
      >>> state = tx.init(params)
      >>> updates, state = tx.update(None, state, params, value_fn=lambda p: (p**2).sum())
      >>> round(float(optax.tree_utils.tree_get(state, "value")), 2)
      5.0
    """
    _check.positive("spsa", "eps", eps)
    _check.count("spsa", "num_queries", num_queries)
    _check.instance("spsa", "direction", direction, Direction)
    _check.one_of("spsa", "difference", difference, ("central", "forward"))
    _check.one_of("spsa", "evaluation", evaluation, EVALUATIONS)
    if batched and evaluation == "in_place":
        raise ValueError(
            'spsa: batched must be False with evaluation="in_place", whose points share one '
            'buffer; use evaluation="streamed".'
        )
    fresh_key = _check.typed_key("spsa", key)
    slopes_of = {"central": _central, "forward": _forward}[difference]

    def init(params: Params) -> SpsaState:
        _check.parameters("spsa", params)
        return SpsaState(jnp.zeros((), jnp.int32), fresh_key(), jnp.full((), jnp.inf, jnp.float32))

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_fn: ValueFn | None = None,
        meter: Meter | None = None,
        **extra_args: Any,
    ) -> tuple[Any, SpsaState]:
        del updates, extra_args
        _check.parameters("spsa", params)
        draws = Draws.at_step(direction, state.key, state.count, num_queries, params)

        def measure() -> Measured:
            loss = loss_at("spsa", value_fn, params, evaluation)
            return slopes_of(loss, draws, _check.at(eps, state.count), evaluation, batched)

        slopes, value = measured(meter, "slopes", num_queries, measure)
        slopes = jnp.sign(slopes) if slope_sign else slopes
        estimate = gradient(draws.after(slopes), slopes, params)
        return estimate, SpsaState(_check.next_count(state.count), state.key, value)

    return optax.GradientTransformationExtraArgs(init, update)


def _central(
    loss: Loss, draws: Draws, scale: Array, evaluation: Evaluation, batched: bool
) -> tuple[Array, Array]:
    num_queries = len(draws.words)
    scales = jnp.tile(jnp.stack([scale, -scale]), num_queries)
    losses = losses_at(loss, Draws.query, draws.repeated(2), scales, evaluation, batched=batched)
    plus, minus = losses.reshape(num_queries, 2).T
    return (plus - minus) / (2.0 * scale), jnp.mean(losses)


def _forward(
    loss: Loss, draws: Draws, scale: Array, evaluation: Evaluation, batched: bool
) -> tuple[Array, Array]:
    num_queries = len(draws.words)
    base = loss([None] * len(draws.shapes), scale)
    scales = jnp.broadcast_to(scale, num_queries)
    plus = losses_at(
        loss, Draws.query, draws.repeated(1).after(base), scales, evaluation, batched=batched
    )
    return (plus - base) / scale, (base + jnp.sum(plus)) / (1 + num_queries)


@jax.jit
def gradient(draws: Draws, slopes: Array, params: Params) -> Params:
    """Mean over the queries of slope·z, each leaf drawn where it is used."""
    leaves, tree = jax.tree.flatten(params)
    num_queries = len(slopes)
    # Each array of a noise has an axis of queries in front; one query needs none, and gathers
    # along such an axis would be a third of the program.
    single = num_queries == 1
    noises = draws.query(0) if single else jax.vmap(draws.query)(jnp.arange(num_queries))

    def total(noise: LeafNoise, parameter: Array) -> Array:
        noise, [weights] = noise.tied([slopes])
        if single:
            return weights[0] * drawn(noise, parameter)
        if noise.random_access:
            # One pass over the leaf: the draws fuse into the sum.
            z = jax.vmap(partial(drawn, parameter=parameter))(noise)
            return jnp.sum(weights.reshape((-1,) + (1,) * parameter.ndim) * z, axis=0)

        def add(query: Array, sum_: Array) -> Array:
            one = jax.tree.map(lambda x: x[query], noise)
            return sum_ + weights[query] * drawn(one, parameter)

        zeros = jnp.zeros_like(parameter, jnp.float32)
        return lax.fori_loop(0, num_queries, add, zeros)

    estimates = [
        jnp.zeros_like(parameter)
        if noise is None
        else (total(noise, parameter) / num_queries).astype(parameter.dtype)
        for parameter, noise in zip(leaves, noises, strict=True)
    ]
    return jax.tree.unflatten(tree, estimates)
