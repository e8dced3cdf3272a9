"""Rules of optax put on the direction instead of on the gradient."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from zojax import _check
from zojax._leaves import arrays
from zojax._mesh import laid_out
from zojax._meter import Measured, Meter, measured
from zojax._types import Array, Evaluation, KeyLike, Params, ScalarOrSchedule, ValueFn
from zojax.directions import Direction, Draws, Gaussian, drawn
from zojax.estimators import advanced, begun, measure_slopes
from zojax.rules._given import GivenNoise
from zojax.streaming import EVALUATIONS, HasAux, loss_at

# Where optax's rules keep their first moment.
MOMENTA = ("mu", "trace")


class OnPerturbationState(NamedTuple):
    """State of :func:`on_perturbation`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: updates taken
    key: Array  # typed key []: constant; step t draws from fold_in(key, t)
    rule: Any  # the rule's, in float32
    value: Array  # float32 []: mean of the step's two losses; inf before the first
    skipped: Array  # int32 []: slopes so far that were not usable, and counted as 0
    rested: Array  # bool []: whether the last step had no usable slope, and so moved nothing
    aux: Any  # of the last step's first point, if has_aux gives its structure; else None


def on_perturbation(
    rule: optax.GradientTransformation,
    eps: ScalarOrSchedule,
    key: KeyLike,
    *,
    signed_momentum: bool = True,
    direction: Direction = Gaussian(),  # noqa: B008 (frozen)
    evaluation: Evaluation = "streamed",
    has_aux: HasAux = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Probes along what a rule makes of the random direction, and steps along the same.

    .. math::
        d_t = \mathrm{rule}(z_t), \qquad
        g = \frac{L(\theta + \epsilon d_t) - L(\theta - \epsilon d_t)}{2\epsilon}, \qquad
        \hat g = g\,d_t

    ZO-AdaMU's idea with the moments of another rule: :math:`m_t = \beta_1 m_{t-1} + (1-\beta_1)
    z_t` and :math:`d_t = m_t / \sqrt{v_t}` for ``optax.scale_by_adam()``, and so on. The paper
    compares rules on the perturbation, as here, with the same rules on the gradient, which are
    plain optax: ``optax.chain(zojax.spsa(...), rule)``.

    Args:
      rule: A link of optax, without a learning rate: ``optax.scale_by_adam()``,
        ``optax.scale_by_adamax()``, ``optax.scale_by_rms()``, ``optax.scale_by_amsgrad()``,
        ``optax.trace(0.9)``. It sees z in float32.
      eps: Perturbation scale; a float > 0 or a schedule of ``count``. In parameter units if the
        rule keeps z's size; Adam's directions have about a quarter of it.
      key: Typed PRNG key or int seed.
      signed_momentum: Turn the rule's first moment uphill after each step, as
        :func:`zojax.adamu` does: it is multiplied by sign(g). Rules without one are as they are.
      direction: Draws z.
      evaluation, has_aux: As in :func:`zojax.spsa`.

    Returns:
      A transformation to put first in a chain; ``update`` needs ``params`` and ``value_fn``.

    Cost: 2 forward passes; the rule's state in float32; one float32 buffer of the parameters' size
      for d, which both losses read; the rule twice.
    Error: biased, as :func:`zojax.adamu`.

    Raises:
      ValueError: ``eps`` is not positive, or ``update`` got no ``params``.
      TypeError: ``key`` is no key, ``direction`` no direction, or ``value_fn`` no scalar function.

    References:
      Jiang et al., 2024, arXiv:2312.15184, Table 3.

    Examples:
      >>> import optax, zojax
      >>> tx = optax.chain(
      ...     zojax.on_perturbation(optax.scale_by_adam(), 1e-2, key=0), optax.scale(-1e-4)
      ... )
    """
    _check.transformation("on_perturbation", "rule", rule)
    _check.positive("on_perturbation", "eps", eps)
    _check.instance("on_perturbation", "direction", direction, Direction)
    _check.one_of("on_perturbation", "evaluation", evaluation, EVALUATIONS)
    _check.flag("on_perturbation", "signed_momentum", signed_momentum)
    fresh_key = _check.typed_key("on_perturbation", key)
    inner = optax.with_extra_args_support(rule)

    def init(params: Params) -> OnPerturbationState:
        _check.parameters("on_perturbation", params)
        zeros = jax.tree.map(lambda x: jnp.zeros_like(x, dtype=jnp.float32), params)
        return OnPerturbationState(key=fresh_key(), **begun(has_aux), rule=inner.init(zeros))

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_fn: ValueFn | None = None,
        meter: Meter | None = None,
        **extra_args: Any,
    ) -> tuple[Any, OnPerturbationState]:
        del updates, extra_args
        _check.parameters("on_perturbation", params)
        params = arrays(params)
        draws = Draws.at_step(direction, state.key, state.count, 1, params)
        # Held once: XLA would compute part of it again for the step, and keep the rest besides.
        shaped = lax.optimization_barrier(_shaped(inner, draws, state.rule, params)[0])
        leaves, tree = jax.tree.flatten(params)
        moving = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]

        def measure() -> Measured:
            loss = loss_at("on_perturbation", value_fn, params, evaluation, has_aux)
            noises = [
                GivenNoise(d) if moves else None
                for d, moves in zip(jax.tree.leaves(shaped), moving, strict=True)
            ]
            scale = _check.at(eps, state.count)
            return measure_slopes(loss, lambda _points, _i: noises, draws, scale, evaluation)

        found = measured(meter, "slopes", 1, measure)
        [slope] = found.scalars
        estimate = [
            (slope * d).astype(leaf.dtype) if moves else jnp.zeros_like(leaf)
            for leaf, d, moves in zip(leaves, jax.tree.leaves(shaped), moving, strict=True)
        ]
        # Made again rather than kept from before the losses, where the old state would be needed
        # beside it for a step that rests.
        _, rule_state = _shaped(inner, draws.after(slope), state.rule, params)
        if signed_momentum:
            # A slope of exactly 0 says nothing of up or down; it must not wipe the history.
            rule_state = _turned(rule_state, jnp.where(slope < 0, -1.0, 1.0).astype(jnp.float32))
        progress = advanced(state, found)
        rule_state = jax.tree.map(
            lambda old, new: jnp.where(progress["rested"], old, new), state.rule, rule_state
        )
        new_state = OnPerturbationState(key=state.key, **progress, rule=rule_state)
        return jax.tree.unflatten(tree, estimate), new_state

    return laid_out(optax.GradientTransformationExtraArgs(init, update))


def _shaped(
    rule: optax.GradientTransformationExtraArgs, draws: Draws, state: Any, params: Params
) -> tuple[Any, Any]:
    """What the rule makes of z, float32, and its new state."""
    leaves, tree = jax.tree.flatten(params)
    z = [
        jnp.zeros(leaf.shape, jnp.float32) if noise is None else drawn(noise, leaf)
        for leaf, noise in zip(leaves, draws.query(0), strict=True)
    ]
    # optax takes powers of integer counts, which strict settings of JAX refuse.
    with jax.numpy_dtype_promotion("standard"):
        return rule.update(jax.tree.unflatten(tree, z), state, params)


def _turned(state: Any, sign: Array) -> Any:
    for name in MOMENTA:
        moment = optax.tree_utils.tree_get(state, name, None)
        if moment is not None:
            turned = jax.tree.map(lambda m: sign.astype(m.dtype) * m, moment)
            state = optax.tree_utils.tree_set(state, **{name: turned})
    return state
