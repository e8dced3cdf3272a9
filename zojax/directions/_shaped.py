"""Rules of optax put on the direction instead of on the gradient."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Self, cast

import jax
import jax.numpy as jnp
import optax

from zojax import _check
from zojax._types import Array, Params
from zojax._xla import opaque
from zojax.directions._direction import Direction, Draws, Noises, check_memoryless
from zojax.directions._given import GivenNoise
from zojax.directions._named import DirectionLike, direction_of
from zojax.directions._noise import drawn_at

# Where optax's rules keep their first moment.
MOMENTA = ("mu", "trace")


class ShapedState(NamedTuple):
    """State of :class:`Shaped`, in an estimator's."""

    rule: Any  # the rule's, in float32
    base: Any  # the base's


@dataclasses.dataclass(frozen=True)
class Shaped(Direction):
    r"""What a rule of optax makes of a random direction: losses are taken along it.

    .. math:: d_t = \mathrm{rule}(z_t)

    ZO-AdaMU's idea with the moments of another rule: :math:`m_t = \beta_1 m_{t-1} + (1-\beta_1)
    z_t` and :math:`d_t = m_t / \sqrt{v_t}` for ``optax.scale_by_adam()``, and so on. The paper
    compares rules on the perturbation, as here, with the same rules on the gradient, which are
    plain optax: ``zojax.chain(zojax.spsa(...), rule)``.

    Args:
      rule: A link of optax, without a learning rate: ``optax.scale_by_adam()``,
        ``optax.scale_by_adamax()``, ``optax.scale_by_rms()``, ``optax.scale_by_amsgrad()``,
        ``optax.trace(0.9)``. It sees z in float32. An optimizer, such as ``optax.adam(1e-3)``,
        turns z around and shrinks it, and is refused.
      signed_momentum: Turn the rule's first moment uphill after each step, as
        :class:`zojax.MomentumCentred` does: it is multiplied by sign(g). Rules without one are as
        they are.
      base: Draws z.

    Cost: the rule's state in float32; one float32 buffer of the parameters' size for d, which all
      losses read; the rule twice. An eps is in parameter units if the rule keeps z's size; Adam's
      directions have about a quarter of it.
    Error: biased, as :class:`zojax.MomentumCentred`.

    Raises:
      ValueError: ``base`` remembers earlier steps itself; or, when the state is made, there are
        several queries (the rule has one history, which cannot follow all of them), or the rule
        turns z around, as a learning rate does.
      TypeError: ``rule`` is no transformation, or ``base`` no direction.

    References:
      Jiang et al., 2024, arXiv:2312.15184, Table 3.

    Examples:
      >>> import optax, zojax
      >>> tx = zojax.chain(
      ...     zojax.spsa(1e-2, key=0, direction=zojax.Shaped(optax.scale_by_adam())),
      ...     optax.scale_by_learning_rate(1e-4),
      ... )
    """

    rule: optax.GradientTransformation
    signed_momentum: bool = True
    base: DirectionLike = "gaussian"

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", direction_of("Shaped", self.base, "base"))
        _check.transformation("Shaped", "rule", self.rule)
        _check.flag("Shaped", "signed_momentum", self.signed_momentum)
        check_memoryless("Shaped", "base", self._base, "it would have two histories")

    @property
    def _base(self) -> Direction:
        return cast("Direction", self.base)  # whose name was looked up

    def init(self, params: Params, num_queries: int) -> ShapedState:
        if num_queries > 1:
            raise ValueError(
                f"Shaped: num_queries must be 1, got {num_queries}: the rule has one history, "
                f"which cannot follow several directions. Use MomentumCentred, or the rule after "
                f"spsa."
            )
        self._check_sign(params)
        zeros = jax.tree.map(lambda x: jnp.zeros_like(x, dtype=jnp.float32), params)
        return ShapedState(self.rule.init(zeros), self._base.init(params, num_queries))

    def _check_sign(self, params: Params) -> None:
        """Refuse a rule that has a learning rate, whose sign would turn its momentum downhill."""
        # Tried on one element of each leaf. A learning rate of 0 makes -0.0 of 1.
        with jax.ensure_compile_time_eval(), jax.numpy_dtype_promotion("standard"):
            z = jax.tree.map(lambda x: jnp.ones((1,) * jnp.ndim(x), jnp.float32), params)
            rule = optax.with_extra_args_support(self.rule)
            shaped, _ = rule.update(z, rule.init(z), z)
            turned = [bool(jnp.signbit(leaf).all()) for leaf in jax.tree.leaves(shaped)]
        if turned and all(turned):
            raise ValueError(
                "Shaped: rule must keep z's sign, got one that turns z around, as a learning rate "
                "does. Give the rule alone, such as optax.scale_by_adam() for optax.adam(...), and "
                "put the learning rate after the estimator."
            )

    def at_step(
        self, state: ShapedState, key: Array, count: Array, num_queries: int, params: Params
    ) -> tuple[ShapedDraws, ShapedState]:
        draws, base = self._base.at_step(state.base, key, count, num_queries, params)
        # One opaque buffer: otherwise XLA computes part of it again for the update, and keeps the
        # rest as well.
        shaped = opaque(self._shape(draws, state.rule, params)[0])
        given = [
            GivenNoise(d) if jnp.issubdtype(leaf.dtype, jnp.floating) else None
            for d, leaf in zip(jax.tree.leaves(shaped), jax.tree.leaves(params), strict=True)
        ]
        return ShapedDraws(given, draws, num_queries), state._replace(base=base)

    def after_step(
        self, state: ShapedState, draws: Any, slopes: Array, usable: Array, params: Params
    ) -> ShapedState:
        # Computed again rather than kept while the losses are taken: a step without a usable slope
        # needs the old state, so both would have to be held.
        _, rule = self._shape(draws.base.after(slopes), state.rule, params)
        if self.signed_momentum:
            # A slope of exactly 0 has no sign, and must not set the history to 0.
            rule = _signed(rule, jnp.where(slopes[0] < 0, -1.0, 1.0).astype(jnp.float32))
        rule = jax.tree.map(lambda old, new: jnp.where(usable[0], new, old), state.rule, rule)
        return state._replace(rule=rule)

    def _shape(self, draws: Draws, state: Any, params: Params) -> tuple[Any, Any]:
        """Apply the rule to z: its result, float32, and its new state."""
        leaves, tree = jax.tree.flatten(params)
        z = [
            jnp.zeros(leaf.shape, jnp.float32) if noise is None else drawn_at(noise, leaf)
            for leaf, noise in zip(leaves, draws.query(0), strict=True)
        ]
        rule = optax.with_extra_args_support(self.rule)
        # optax takes powers of integer counts, which strict settings of JAX refuse.
        with jax.numpy_dtype_promotion("standard"):
            return rule.update(jax.tree.unflatten(tree, z), state, params)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ShapedDraws(Draws):
    """A direction that is held in memory, of one query.

    Attributes:
      given: d of each leaf.
      base: The draws of z, to which the rule was applied.
      points: How many points there are, all along this direction.
    """

    given: list[GivenNoise | None]
    base: Draws
    points: int = dataclasses.field(metadata={"static": True})

    @property
    def num_queries(self) -> int:
        return self.points

    def query(self, index: int | Array) -> Noises:
        del index
        return self.given

    def repeated(self, times: int) -> Self:
        return dataclasses.replace(self, points=self.points * times)

    def after(self, values: Array) -> Self:
        del values
        return self


def _signed(state: Any, sign: Array) -> Any:
    for name in MOMENTA:
        moment = optax.tree_utils.tree_get(state, name, None)
        if moment is not None:
            signed = jax.tree.map(lambda m: sign.astype(m.dtype) * m, moment)
            state = optax.tree_utils.tree_set(state, **{name: signed})
    return state
