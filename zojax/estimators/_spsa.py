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
from zojax.directions import Direction, Draws, Gaussian, LeafNoise, drawn, rounded
from zojax.estimators._progress import advanced, begun
from zojax.estimators._slopes import measure_slopes
from zojax.streaming import EVALUATIONS, HasAux, loss_at


class SpsaState(NamedTuple):
    """State of :func:`spsa`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: updates taken
    key: Array  # typed key []: constant; step t draws from fold_in(key, t)
    value: Array  # float32 []: mean of the step's losses, in the loss's unit; inf before the first
    skipped: Array  # int32 []: slopes so far that were not usable, and counted as 0
    rested: Array  # bool []: whether the last step had no usable slope, and so moved nothing
    aux: Any  # of the last step's first point, if has_aux gives its structure; else None


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
    has_aux: HasAux = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Estimates the gradient from losses at both ends of random directions.

    .. math::
        \hat g = \frac1q \sum_i
        \frac{L(\theta + \epsilon z_i) - L(\theta - \epsilon z_i)}{2\epsilon}\, z_i

    or, with ``difference="forward"``, :math:`(L(\theta + \epsilon z_i) - L(\theta))/\epsilon`.
    A slope of which a loss is not finite, or whose ε is 0, is 0, and counted in the state's
    ``skipped``.

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
      has_aux: Whether ``value_fn`` returns a pair (loss, aux). ``True`` drops aux; its structure,
        what ``jax.eval_shape`` gives, keeps it in the state for :func:`zojax.last_aux`.

    Returns:
      A transformation to put first in a chain; it ignores the updates it is given, which may be
      ``None``. Wrappers that look at gradients, such as ``optax.MultiSteps``, go around what
      follows it in the chain. ``update`` needs ``params`` and
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
      >>> round(float(zojax.last_loss(state)), 2)
      5.0
    """
    _check.positive("spsa", "eps", eps)
    _check.count("spsa", "num_queries", num_queries)
    _check.instance("spsa", "direction", direction, Direction)
    _check.one_of("spsa", "difference", difference, ("central", "forward"))
    _check.one_of("spsa", "evaluation", evaluation, EVALUATIONS)
    _check.flag("spsa", "batched", batched)
    _check.flag("spsa", "slope_sign", slope_sign)
    if batched and evaluation == "in_place":
        raise ValueError(
            'spsa: batched must be False with evaluation="in_place", whose points share one '
            'buffer; use evaluation="streamed".'
        )
    fresh_key = _check.typed_key("spsa", key)

    def init(params: Params) -> SpsaState:
        _check.parameters("spsa", params)
        return SpsaState(key=fresh_key(), **begun(has_aux))

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
            return measure_slopes(
                loss_at("spsa", value_fn, params, evaluation, has_aux),
                Draws.query,
                draws,
                _check.at(eps, state.count),
                evaluation,
                difference=difference,
                batched=batched,
            )

        found = measured(meter, "slopes", num_queries, measure)
        slopes = jnp.sign(found.scalars) if slope_sign else found.scalars
        estimate = gradient(draws.after(slopes), slopes, params)
        return estimate, SpsaState(key=state.key, **advanced(state, found))

    return optax.GradientTransformationExtraArgs(init, update)


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
            return jnp.sum(rounded(weights.reshape((-1,) + (1,) * parameter.ndim) * z), axis=0)

        def add(query: Array, sum_: Array) -> Array:
            one = jax.tree.map(lambda x: x[query], noise)
            return sum_ + rounded(weights[query] * drawn(one, parameter))

        zeros = jnp.zeros_like(parameter, jnp.float32)
        return lax.fori_loop(0, num_queries, add, zeros)

    estimates = [
        jnp.zeros_like(parameter)
        if noise is None
        else (total(noise, parameter) / num_queries).astype(parameter.dtype)
        for parameter, noise in zip(leaves, noises, strict=True)
    ]
    return jax.tree.unflatten(tree, estimates)
