"""ZO-AdaMU's direction, which is centred on a moving average of its past."""

from __future__ import annotations

import dataclasses
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from zojax import _check
from zojax._mesh import mesh_of, replicated
from zojax._types import Array, Params, ScalarOrSchedule
from zojax._xla import computed_once, in_memory, opaque, rounded
from zojax.directions._anneal import AdamuSchedules, Anneal, annealed
from zojax.directions._direction import (
    Direction,
    Draws,
    check_memoryless,
    sum_over_queries,
)
from zojax.directions._elementwise import is_vector
from zojax.directions._momentum_noise import MomentumDraws
from zojax.directions._named import DirectionLike, direction_of
from zojax.directions._noise import LeafNoise, drawn_at


class MomentumState(NamedTuple):
    """State of :class:`MomentumCentred`, in an estimator's."""

    centre: Any  # like the parameters, in centre_dtype: z̈, on which the last step was centred
    signs: Array  # float32 [q]: of the last step's slopes, 1 for a slope of 0; 0 if not usable
    weights: Array  # float32 [2]: those of ξ̇ and z̈ in the last step's m_t; 0 before the first
    base: Any  # the base's


@dataclasses.dataclass(frozen=True)
class MomentumCentred(Direction):
    r"""ZO-AdaMU's direction: part noise and part momentum, scaled by the variance of both.

    .. math::
        \dot z &= \sqrt{\alpha}\,\dot\xi, \qquad
        \ddot z = m_{t-1} + \sqrt{1-\alpha}\,\ddot\xi \\
        m_t &= \beta_1 \dot z + (1-\beta_1)\,\ddot z, \qquad
        v_t = \beta_2 \dot z^2 + (1-\beta_2)\,\ddot z^2

    Losses are taken along :math:`m_t`, and an estimate is slope · :math:`m_t / \sqrt{v_t +
    10^{-8}}`. The direction probed is the direction applied: :math:`m_t` is computed by one
    function from the same :math:`\ddot z` and key in all losses and in the update. What is kept
    from step to step is :math:`\ddot z`: with the key it gives :math:`m_t` and :math:`v_t`. A step
    without a usable slope tells nothing, and the next one is centred on the same
    :math:`\ddot z` again. Of several queries each has its own :math:`\dot\xi`, and the history
    :math:`m_{t-1}` is the mean over the usable ones.

    Args:
      num_steps: The training's length: annealing starts and ends where it does in the paper, in
        proportion.
      phases: (T₁, T₂, T₃) instead: steps at which annealing starts and ends, and the training's
        length. The paper's (1024, 16000, 20000) where neither is given.
      anneal: ``"figure"`` or ``"equation"``: see :func:`zojax.directions.adamu_schedules`.
      alpha, beta1, beta2: Numbers or schedules of the step that replace the annealed ones.
      signed_momentum: Keep sign(g)·m_t as history, as the released code does, so that it points
        uphill; False keeps m_t, as Algorithm 1 of the paper says. The documentation's results
        have both: signed is the better.
      centre_dtype: dtype of z̈; the parameters' where None.
      base: Draws ξ̇ and ξ̈.

    Cost: one buffer of the parameters' size for z̈; five draws of noise a step of one query, where
      the base alone needs three.
    Error: biased, for the history correlates steps and :math:`1/\sqrt{v_t}` weighs them.

    Raises:
      ValueError: the phases are refused as by :func:`zojax.directions.adamu_schedules`, ``alpha``,
        ``beta1`` or ``beta2`` is outside [0, 1], or ``base`` remembers earlier steps itself or
        depends on the parameters' values.
      TypeError: ``base`` is no direction.

    References:
      Jiang et al., 2024, arXiv:2312.15184, Equations 4 to 7 and Algorithm 1.

    Examples:
      >>> import zojax
      >>> direction = zojax.MomentumCentred(num_steps=1000)
      >>> tx = zojax.chain(zojax.spsa(1e-3, key=0, num_queries=4, direction=direction))
    """

    num_steps: int | None = None
    phases: tuple[int, int, int] | None = None
    anneal: Anneal = "figure"
    alpha: ScalarOrSchedule | None = None
    beta1: ScalarOrSchedule | None = None
    beta2: ScalarOrSchedule | None = None
    signed_momentum: bool = True
    centre_dtype: Any = None
    base: DirectionLike = "gaussian"

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", direction_of("MomentumCentred", self.base, "base"))
        where = "MomentumCentred"
        _check.float_dtype(where, "centre_dtype", self.centre_dtype)
        _check.flag(where, "signed_momentum", self.signed_momentum)
        check_memoryless(where, "base", self._base, "the draws of the last step are made again")
        if self._base.reads_parameters:
            raise ValueError(
                f"{where}: base must not depend on the parameters' values, got "
                f"{type(self._base).__name__}: its scale would be divided out again. Use "
                "Gaussian()."
            )
        annealed(where, self.phases, self.anneal, self.num_steps)
        for name in AdamuSchedules._fields:
            if getattr(self, name) is not None:
                _check.fraction(where, name, getattr(self, name))

    @property
    def _base(self) -> Direction:
        return cast("Direction", self.base)  # whose name was looked up

    def schedules(self) -> AdamuSchedules:
        """α, β₁ and β₂ as functions of the step, or numbers."""
        found = annealed("MomentumCentred", self.phases, self.anneal, self.num_steps)
        given = {name: getattr(self, name) for name in AdamuSchedules._fields}
        return found._replace(**{n: value for n, value in given.items() if value is not None})

    def stored(self) -> MomentumCentred:
        return dataclasses.replace(self, base=self._base.stored())

    def init(self, params: Params, num_queries: int) -> MomentumState:
        centre = jax.tree.map(partial(_zeros, dtype=self.centre_dtype), params)
        signs = jnp.ones(num_queries, jnp.float32)
        weights = jnp.zeros(2, jnp.float32)
        return MomentumState(centre, signs, weights, self._base.init(params, num_queries))

    def at_step(
        self, state: MomentumState, key: Array, count: Array, num_queries: int, params: Params
    ) -> tuple[MomentumDraws, MomentumState]:
        alpha, beta1, beta2 = (_check.at(schedule, count) for schedule in self.schedules())
        # One array, which is computed in one operation: XLA cannot take it apart again.
        mixed = beta1 * jnp.sqrt(alpha), 1.0 - beta1
        squares = beta2 * alpha, 1.0 - beta2
        numbers = in_memory(opaque(jnp.stack([*mixed, *squares, *_carried(state, alpha)])))
        weights, shares, carried = numbers[:2], numbers[2:4], numbers[4:]
        last, draws, base = self._draws(state.base, key, count, num_queries, params)
        centre = _next_centre(state.centre, carried, last)
        leaves = jax.tree.leaves(centre)
        mesh = mesh_of(leaves)
        # A bias is added to activations that may be sharded, and the partitioner would shard the
        # bias's history like them.
        leaves = [replicated(x, mesh) if is_vector(x.shape) else x for x in leaves]
        of_noise, of_centre = (jnp.broadcast_to(x, num_queries) for x in weights)
        state = MomentumState(centre, state.signs, weights, base)
        return MomentumDraws(draws, leaves, (of_noise, of_centre), shares), state

    def _draws(
        self, state: Any, key: Array, count: Array, num_queries: int, params: Params
    ) -> tuple[Draws, Draws, Any]:
        """The base's draws of the last step and of this one, and its state.

        Each has one query more than the direction: ξ̈ of the next step, independent of ξ̇.
        """

        def at(count: Array) -> tuple[Draws, Any]:
            return self._base.at_step(state, key, count, num_queries + 1, params)

        # Of both steps in one operation.
        found = jax.vmap(at)(count + jnp.array([-1, 0], jnp.int32))
        (last, _), (draws, state) = (jax.tree.map(itemgetter(step), found) for step in (0, 1))
        return last, draws, state

    def after_step(
        self, state: MomentumState, draws: Any, slopes: Array, usable: Array, params: Params
    ) -> MomentumState:
        del draws, params
        # A slope of exactly 0 has no sign, and must not set the history to 0.
        signs = jnp.where(slopes < 0, -1.0, 1.0) if self.signed_momentum else jnp.ones_like(slopes)
        return state._replace(signs=jnp.where(usable, signs, 0.0).astype(jnp.float32))


def _zeros(parameter: Array, dtype: Any) -> Array:
    # Integers do not move, and keep their dtype so that the next step knows.
    floating = jnp.issubdtype(parameter.dtype, jnp.floating)
    return jnp.zeros_like(parameter, dtype=dtype if floating else None)


def _carried(state: MomentumState, alpha: Array) -> list[Array]:
    """What z̈ is made of: the weights of the last step's ξ̇ [q], of the new ξ̈, and of the old z̈.

    The direction of a step without a usable slope does not enter the history.
    """
    used = jnp.sum(jnp.abs(state.signs))
    signs = state.signs / jnp.maximum(used, 1.0)
    of_noise, of_centre = state.weights
    return [
        *(signs * of_noise),
        jnp.where(used == 0, 0.0, jnp.sqrt(1.0 - alpha)),
        jnp.where(used == 0, 1.0, jnp.sum(signs) * of_centre),
    ]


@jax.jit
def _next_centre(centre: Any, carried: Array, last: Draws) -> Any:
    """z̈ of this step, out of that of the last.

    m_t is not stored by its own step but drawn again by the next one. Otherwise the update would
    read the old history while the new one overwrites it, in an order that XLA cannot see, so that
    it would keep a copy of all of it.
    """
    leaves, tree = jax.tree.flatten(centre)

    def leaf(noise: LeafNoise | None, centre: Array) -> Array:
        if noise is None:
            return centre
        drawn = sum_over_queries(
            lambda one, weight: weight * drawn_at(one, centre), noise, carried[:-1], centre
        )
        kept = rounded(carried[-1] * centre.astype(jnp.float32))
        return (drawn + kept).astype(centre.dtype)

    def fill(counter: Array, leaves: list[Array]) -> list[Array]:
        return list(map(leaf, last.after(counter).queries(), leaves))

    # It replaces the old one in its buffer, and is not computed again wherever it is read.
    return jax.tree.unflatten(tree, computed_once(fill, leaves))
