"""ZO-AdaMU: momentum and variance in the direction rather than in the gradient."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from zojax import _check
from zojax._leaves import arrays
from zojax._mesh import laid_out, mesh_of, whole
from zojax._meter import Measured, Meter, measured
from zojax._types import Array, Evaluation, KeyLike, Params, ScalarOrSchedule, ValueFn
from zojax.directions import (
    Direction,
    Draws,
    Gaussian,
    LeafNoise,
    MomentumNoise,
    alone,
    drawn,
    is_vector,
    rounded,
)
from zojax.estimators import advanced, begun, measure_slopes
from zojax.rules._anneal import Anneal, annealed
from zojax.streaming import EVALUATIONS, HasAux, loss_at

SIGMA = 1e-8


class AdamuState(NamedTuple):
    """State of :func:`adamu`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: updates taken
    key: Array  # typed key []: constant; step t draws from fold_in(key, t)
    mu: Any  # like the parameters, in mu_dtype: z̈, on which the last step's direction was centred
    nu: Any  # like the parameters: v_t of the last step taken; None unless store_nu
    slope: Array  # float32 []: g of the last step
    alpha: Array  # float32 []: α of the last step; 0 before the first
    beta1: Array  # float32 []: β₁ of the last step
    value: Array  # float32 []: mean of the step's two losses; inf before the first
    skipped: Array  # int32 []: slopes so far that were not usable, and counted as 0
    rested: Array  # bool []: whether the last step had no usable slope, and so moved nothing
    aux: Any  # of the last step's first point, if has_aux gives its structure; else None


def adamu(
    eps: ScalarOrSchedule,
    key: KeyLike,
    *,
    num_steps: int | None = None,
    phases: tuple[int, int, int] | None = None,
    anneal: Anneal = "figure",
    alpha: ScalarOrSchedule | None = None,
    beta1: ScalarOrSchedule | None = None,
    beta2: ScalarOrSchedule | None = None,
    signed_momentum: bool = True,
    store_nu: bool = False,
    mu_dtype: Any = None,
    direction: Direction = Gaussian(),  # noqa: B008 (frozen)
    evaluation: Evaluation = "streamed",
    has_aux: HasAux = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Probes along a moving average of past directions, and scales by their variance.

    .. math::
        \dot z &= \sqrt{\alpha}\,\dot\xi, \qquad
        \ddot z = m_{t-1} + \sqrt{1-\alpha}\,\ddot\xi \\
        m_t &= \beta_1 \dot z + (1-\beta_1)\,\ddot z, \qquad
        v_t = \beta_2 \dot z^2 + (1-\beta_2)\,\ddot z^2 \\
        g &= \frac{L(\theta + \epsilon m_t) - L(\theta - \epsilon m_t)}{2\epsilon}, \qquad
        \hat g = \frac{g\, m_t}{\sqrt{v_t + 10^{-8}}}

    The direction probed is the direction applied: :math:`m_t` is computed by one function from
    the same :math:`\ddot z` and key in both losses and in the update. What is kept from step to
    step is :math:`\ddot z`: with the key it gives :math:`m_t` and :math:`v_t`. A step whose slope
    is not usable, as :func:`zojax.spsa` says, moves nothing, and the next step is centred on the
    same :math:`\ddot z` again.

    Args:
      eps: Perturbation scale in parameter units; a float > 0 or a schedule of ``count``.
      key: Typed PRNG key or int seed.
      num_steps: The training's length: annealing starts and ends where it does in the paper, in
        proportion.
      phases: (T₁, T₂, T₃) instead: steps at which annealing starts and ends, and the training's
        length. The paper's (1024, 16000, 20000) where neither is given.
      anneal: ``"figure"`` or ``"equation"``: see :func:`zojax.adamu_schedules`.
      alpha, beta1, beta2: Numbers or schedules that replace the annealed ones.
      signed_momentum: Keep sign(g)·m_t as history, as the released code does, so that it points
        uphill; False keeps m_t, as Algorithm 1 of the paper says. The documentation's results
        have both: signed is the better.
      store_nu: Keep v_t in the state to look at it. It has no recurrence, so the updates are the
        same bits without.
      mu_dtype: dtype of z̈; the parameters' where None.
      direction: Draws ξ̇ and ξ̈.
      evaluation, has_aux: As in :func:`zojax.spsa`.

    Returns:
      A transformation to put first in a chain; ``update`` needs ``params`` and ``value_fn``.

    Cost: 2 forward passes; one buffer of the parameters' size for ``mu``, one more with
      ``store_nu``; five draws of noise, where MeZO needs three.
    Error: biased, for the history correlates steps and :math:`1/\sqrt{v_t}` weighs them.

    Raises:
      ValueError: ``eps`` is not positive, the phases are refused as by
        :func:`zojax.adamu_schedules`, or ``update`` got no ``params``.
      TypeError: ``key`` is no key, ``direction`` no direction, or ``value_fn`` no scalar function.

    References:
      Jiang et al., 2024, arXiv:2312.15184, Equations 4 to 7 and Algorithm 1.
    """
    _check.positive("adamu", "eps", eps)
    _check.instance("adamu", "direction", direction, Direction)
    _check.one_of("adamu", "evaluation", evaluation, EVALUATIONS)
    fresh_key = _check.typed_key("adamu", key)
    _check.float_dtype("adamu", "mu_dtype", mu_dtype)
    _check.flag("adamu", "signed_momentum", signed_momentum)
    _check.flag("adamu", "store_nu", store_nu)
    schedules = annealed("adamu", phases, anneal, num_steps)
    given = dict(alpha=alpha, beta1=beta1, beta2=beta2)
    for name, value in given.items():
        if value is not None:
            _check.fraction("adamu", name, value)
    schedules = schedules._replace(**{n: v for n, v in given.items() if v is not None})

    def init(params: Params) -> AdamuState:
        _check.parameters("adamu", params)
        params = arrays(params)
        mu = jax.tree.map(partial(_zeros, dtype=mu_dtype), params)
        nu = optax.tree_utils.tree_zeros_like(params) if store_nu else None
        slope, alpha, beta1 = (jnp.zeros((), jnp.float32) for _ in range(3))
        return AdamuState(
            key=fresh_key(), **begun(has_aux), mu=mu, nu=nu, slope=slope, alpha=alpha, beta1=beta1
        )

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_fn: ValueFn | None = None,
        meter: Meter | None = None,
        **extra_args: Any,
    ) -> tuple[Any, AdamuState]:
        del updates, extra_args
        _check.parameters("adamu", params)
        params = arrays(params)
        alpha, beta1, beta2 = (_check.at(schedule, state.count) for schedule in schedules)
        mu = _centre(state, alpha, direction, signed=signed_momentum)
        draws = Draws.at_step(direction, state.key, state.count, 1, params)

        def measure() -> Measured:
            loss = loss_at("adamu", value_fn, params, evaluation, has_aux)
            scale = _check.at(eps, state.count)
            # Behind the barrier the compiler does not see that both losses weigh alike, and so
            # keeps no product of the history from one to the other.
            weights = lax.optimization_barrier(jnp.stack([beta1, beta1]))

            def directions(points: Draws, point: int | Array) -> list[MomentumNoise | None]:
                return _noises(points.query(point), mu, alpha, weights[point])

            return measure_slopes(loss, directions, draws, scale, evaluation)

        found = measured(meter, "slopes", 1, measure)
        [slope] = found.scalars
        noises = _noises(draws.after(slope).query(0), mu, alpha, beta1)
        gradient, nu = _estimate(noises, slope, beta2, params)
        progress = advanced(state, found)
        if store_nu:
            nu = jax.tree.map(partial(jnp.where, progress["rested"]), state.nu, nu)
        new_state = AdamuState(
            **progress,
            key=state.key,
            mu=mu,
            nu=nu if store_nu else None,
            slope=slope,
            alpha=alpha,
            beta1=beta1,
        )
        return gradient, new_state

    return laid_out(optax.GradientTransformationExtraArgs(init, update))


def _zeros(parameter: Array, dtype: Any) -> Array:
    # Integers do not move, and keep their dtype so that the next step knows.
    floating = jnp.issubdtype(parameter.dtype, jnp.floating)
    return jnp.zeros_like(parameter, dtype=dtype if floating else None)


def _noises(
    zeros: list[LeafNoise | None], mu: Any, alpha: Array, beta1: Array
) -> list[MomentumNoise | None]:
    """The undrawn direction m_t of every leaf."""
    leaves = jax.tree.leaves(mu)
    mesh = mesh_of(leaves)
    # What a bias is added to may be cut, and the partitioner would cut the bias's history, too.
    leaves = [whole(x, mesh) if is_vector(x.shape) else x for x in leaves]
    return [
        None if zero is None else MomentumNoise(zero, centred, alpha, beta1)
        for zero, centred in zip(zeros, leaves, strict=True)
    ]


@partial(jax.jit, static_argnums=2, static_argnames="signed")
def _centre(state: AdamuState, alpha: Array, direction: Direction, *, signed: bool) -> Any:
    """z̈ of this step, out of that of the last.

    m_t is not stored by its own step but drawn again by the next. Stored at once, the old history
    would be read by the update and overwritten by the new one in an order that XLA cannot see, so
    that it keeps a copy of it all.
    """
    leaves, tree = jax.tree.flatten(state.mu)
    last = Draws.at_step(direction, state.key, state.count - 1, 1, state.mu).query(0)
    # ξ̈ is the second query of this step, so that it shares nothing with ξ̇.
    fresh = Draws.at_step(direction, state.key, state.count, 2, state.mu).query(1)
    # A slope of exactly 0 says nothing of up or down; it must not wipe the history.
    sign = jnp.where(state.slope < 0, -1.0, 1.0) if signed else 1.0

    def moved(turn: Array, zero: LeafNoise | None, fresh: LeafNoise | None, mu: Array) -> Array:
        if zero is None or fresh is None:
            return mu
        last = MomentumNoise(zero.in_turn(turn), mu, state.alpha, state.beta1)
        history, centred = drawn(last, mu), drawn(fresh.in_turn(turn), mu)
        new = (sign * history + rounded(jnp.sqrt(1.0 - alpha) * centred)).astype(mu.dtype)
        # The last step told nothing of its direction, so it does not become history.
        return jnp.where(state.rested, mu, new)

    def move(turn: Array, leaves: list[Array]) -> list[Array]:
        return list(map(partial(moved, turn), last, fresh, leaves))

    # XLA writes a loop's carry in place, and does not draw it again in every operation that reads
    # it, as it does with what it can fuse.
    return jax.tree.unflatten(tree, alone(move, leaves))


@jax.jit
def _estimate(
    noises: list[MomentumNoise | None], slope: Array, beta2: Array, params: Params
) -> tuple[Any, Any]:
    """g·m_t/√(v_t + σ) and v_t: two trees like the parameters."""

    def leaf(noise: MomentumNoise | None, parameter: Array) -> tuple[Array, Array]:
        if noise is None:
            return jnp.zeros_like(parameter), jnp.zeros_like(parameter)
        noise, [slope_] = noise.tied([slope])
        zero, centred = noise.parts()
        variance = rounded(beta2 * jnp.square(zero)) + rounded((1.0 - beta2) * jnp.square(centred))
        estimate = slope_ * noise.mix(zero, centred) * jax.lax.rsqrt(variance + SIGMA)
        return estimate.astype(parameter.dtype), variance.astype(parameter.dtype)

    leaves, tree = jax.tree.flatten(params)
    gradient, nu = zip(*map(leaf, noises, leaves), strict=True)
    return jax.tree.unflatten(tree, gradient), jax.tree.unflatten(tree, nu)
