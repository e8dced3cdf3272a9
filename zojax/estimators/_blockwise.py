"""Two-point estimates of one block of parameters after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from zojax import _check
from zojax._meter import Measured
from zojax._types import Array, Evaluation, HasAux, KeyLike, Params, ScalarOrSchedule
from zojax.coordinates import Blocks, check_blocks, find_blocks
from zojax.directions import (
    Direction,
    DirectionLike,
    Draws,
    Noises,
    ScaledNoise,
    check_memoryless,
    direction_of,
)
from zojax.estimators._estimator import estimator
from zojax.estimators._slopes import slopes_along
from zojax.slope_rules import SlopeRuleLike, check_rule_of_slopes, slope_rule_of
from zojax.streaming import EVALUATIONS, Loss, Objective


def blockwise(
    eps: ScalarOrSchedule,
    *,
    key: KeyLike,
    blocks: Blocks = "layers",
    in_turn: ScalarOrSchedule | None = None,
    direction: DirectionLike = "gaussian",
    slope_rule: SlopeRuleLike | None = None,
    evaluation: Evaluation = "streamed",
    has_aux: HasAux = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Estimates the gradient of each block of parameters from losses of its own.

    .. math::
        \hat g_b = \frac{L(\theta^{(b)} + \epsilon z_b) - L(\theta^{(b)} - \epsilon z_b)}
        {2\epsilon}\, z_b

    where z_b is zero outside of block b. By default every block sees :math:`\theta^{(b)} = \theta`.
    With ``in_turn=η`` it sees the earlier blocks' steps,
    :math:`\theta^{(b)} = \theta - \eta \sum_{a<b} \hat g_a`; follow it by
    ``optax.scale_by_learning_rate`` with the same η, as :func:`zojax.zo_sgd_blockwise` does.

    Args:
      eps: Perturbation scale in parameter units; a float > 0 or a schedule of ``count``.
      key: Typed PRNG key or int seed. ``(key, count)`` alone replays any step.
      blocks: ``"layers"``: one block for the embeddings, one for each layer, one for the rest
        (final norm and head), found from the numbers in the paths; for OPT-1.3B 26. Or
        ``blocks(path, leaf)``, which gives the label of a leaf's block for a path such as
        ``"decoder/layers/0/kernel"`` and a shape and dtype. Integers order the blocks; of other
        labels the order is that in which they first appear. Paths in which it is not plain which
        parameters are layers, or come before or after them, need such a function.
      in_turn: η, for blocks in turn; a float or a schedule of ``count``. ``None`` for all blocks
        at the same θ.
      direction: As in :func:`zojax.spsa`, but none that remembers earlier steps: each block has a
        slope of its own. Blocks of one shape have independent z, for z depends on the path.
      slope_rule: As in :func:`zojax.spsa`, on the slopes of the blocks; not with ``in_turn``.
      evaluation: As in :func:`zojax.spsa`.
      has_aux: As in :func:`zojax.spsa`; aux is that of the last block.

    Returns:
      A transformation to put first in a chain; ``update`` needs ``params`` and
      ``value_fn(params) -> float []``.

    Cost: two forward passes for each block, which make one loop with one forward pass in the
      program; each draws z of all blocks. No memory beyond a forward pass when streamed.
    Error: as :func:`zojax.spsa`, but the variance is that of each block by itself:
      E‖ĝ_b‖² = (d_b + 2)‖∇_b L‖². In turn, the steps that later blocks see are not rounded to
      the dtype of an update on the way.

    Raises:
      ValueError: ``eps`` is not positive, the layers are not plain to find, ``slope_rule`` is given
        with ``in_turn``, or ``update`` got no ``params``.
      TypeError: ``key`` is no key, ``direction`` no direction, ``blocks`` neither ``"layers"`` nor
        a function, or ``value_fn`` no scalar function.

    References:
      Zhang et al., 2024, arXiv:2402.11592, Section 6 (ZO-SGD-Block).

    Examples:
      >>> import jax.numpy as jnp, optax, zojax
      >>> tx = optax.chain(zojax.blockwise(1e-3, key=0), optax.sgd(1e-2))
      >>> params = {"embed": jnp.ones(3), "layers": [jnp.ones(3), jnp.ones(3)]}
      >>> updates, state = tx.update(
      ...     None, tx.init(params), params, value_fn=lambda p: (p["layers"][1] ** 2).sum()
      ... )
      >>> updates["embed"].tolist()  # its own losses do not depend on it
      [-0.0, -0.0, -0.0]
    """
    _check.positive("blockwise", "eps", eps)
    _check.one_of("blockwise", "evaluation", evaluation, EVALUATIONS)
    if in_turn is not None:
        _check.non_negative("blockwise", "in_turn", in_turn)
    check_blocks("blockwise", blocks)
    why = "the blocks are measured one by one"
    rule = check_rule_of_slopes("blockwise", slope_rule_of("blockwise", slope_rule), why)
    if rule is not None and in_turn is not None:
        raise ValueError(
            "blockwise: slope_rule must be None with in_turn, whose later blocks see steps along "
            "the measured slopes of the earlier ones. Leave in_turn out."
        )

    def measure(objective: Objective, draws: BlockDraws, count: Array) -> Measured:
        loss, scale = objective.at(evaluation), _check.at(eps, count)
        if objective.asking is not None and in_turn is not None:
            raise ValueError(
                "blockwise: ask_tell must not be used with blocks in turn, whose points depend on "
                "the losses of the blocks before. Leave in_turn out."
            )
        rate = _check.at(0.0 if in_turn is None else in_turn, count)
        none = jnp.zeros(draws.num_queries, jnp.float32)

        def slope_of(block: int | Array, before: Measured) -> Measured:
            taken = draws.steps_before(block, -rate * before.scalars)
            found = slopes_along(
                objective,
                draws.loss_of(block, taken, loss),
                draws.base.after(before.scalars),
                scale,
                evaluation,
                first_query=block if isinstance(block, int) else 0,
            )
            return Measured(
                before.scalars.at[block].set(found.scalars[0]),
                before.usable.at[block].set(found.usable[0]),
                before.value + found.value / draws.num_queries,
                found.aux,
            )

        found = Measured(none, none > 0, jnp.zeros((), jnp.float32), objective.no_aux())
        if evaluation != "in_place" and objective.asking is None:
            return lax.fori_loop(0, draws.num_queries, slope_of, found)
        for block in range(draws.num_queries):
            found = slope_of(block, found)
        return found

    return estimator(
        "blockwise",
        measure,
        _ByBlocks(direction_of("blockwise", direction), blocks),
        key=key,
        num_queries=lambda params: len(find_blocks("blockwise", params, blocks)),
        slope_rule=rule,
        has_aux=has_aux,
    )


@dataclasses.dataclass(frozen=True)
class _ByBlocks(Direction):
    """One direction for the whole model, of which each query is the part in its block."""

    base: Direction
    blocks: Blocks

    def __post_init__(self) -> None:
        check_memoryless("blockwise", "direction", self.base, "each block has a slope of its own")

    def init(self, params: Params, num_queries: int) -> Any:
        del num_queries
        return self.base.init(params, 1)

    def at_step(
        self, state: Any, key: Array, count: Array, num_queries: int, params: Params
    ) -> tuple[BlockDraws, Any]:
        block_of = np.zeros(len(jax.tree.leaves(params)), np.int32)
        for number, block in enumerate(find_blocks("blockwise", params, self.blocks)):
            block_of[block.leaves] = number
        draws, state = self.base.at_step(state, key, count, 1, params)
        return BlockDraws(draws, tuple(block_of.tolist()), num_queries), state


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BlockDraws(Draws):
    """The directions of the blocks.

    Attributes:
      base: Those of one query for the whole model.
      block_of: The number of each leaf's block.
      num_blocks: How many there are.
      times: How many points in a row each block has.
    """

    base: Draws
    block_of: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    num_blocks: int = dataclasses.field(metadata={"static": True})
    times: int = dataclasses.field(default=1, metadata={"static": True})

    @property
    def averaged(self) -> bool:
        return False

    @property
    def num_queries(self) -> int:
        return self.num_blocks * self.times

    def query(self, index: int | Array) -> Noises:
        here = np.array(self.block_of) == index // self.times
        return _scaled(self.base.query(index % self.times), jnp.where(here, 1.0, 0.0))

    def repeated(self, times: int) -> Self:
        return dataclasses.replace(self, base=self.base.repeated(times), times=self.times * times)

    def after(self, values: Array) -> Self:
        return dataclasses.replace(self, base=self.base.after(values))

    def steps_before(self, block: int | Array, steps: Array) -> Array:
        """How far each leaf has moved along its z before a block's losses, float32 [leaves].

        Args:
          block: The number of the block.
          steps: float32 [blocks]: of each block along z.
        """
        block_of = np.array(self.block_of)
        return jnp.where(block_of < block, steps[block_of], 0.0)

    def loss_of(self, block: int | Array, taken: Array, loss: Loss) -> Loss:
        """The loss along the part of a direction that lies in one block."""
        here = np.array(self.block_of) == block

        def loss_of_block(noises: Noises, scale: Array | float) -> tuple[Array, Any]:
            return loss(_scaled(noises, jnp.where(here, scale, taken)), 1.0)

        return loss_of_block

    def gradient(self, slopes: Array, leaves: Sequence[Array]) -> list[Array]:
        """slope·z, each leaf with the slope of its block."""
        found: list[Array] = []
        for leaf, noise, block in zip(leaves, self.base.query(0), self.block_of, strict=True):
            if noise is None:
                found.append(jnp.zeros_like(leaf))
            else:
                tied, [slope] = noise.tied([slopes[block]])
                found.append(tied.applied(slope, leaf).astype(leaf.dtype))
        return found


def _scaled(noises: Noises, scales: Array) -> list[ScaledNoise | None]:
    return [
        None if noise is None else ScaledNoise(noise, scale)
        for noise, scale in zip(noises, scales, strict=True)
    ]
