"""Two-point estimates of one block of parameters after the other."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from zojax import _check
from zojax._meter import Measured, Meter, measured
from zojax._types import Array, Evaluation, KeyLike, Params, ScalarOrSchedule, ValueFn
from zojax.directions import Direction, Draws, Gaussian, LeafNoise, ScaledNoise, drawn
from zojax.estimators._progress import advanced, begun
from zojax.estimators._slopes import central_slopes, mean_loss
from zojax.selection import Blocks, check_blocks, find_blocks
from zojax.streaming import EVALUATIONS, HasAux, kept_aux, loss_at, losses_at


class BlockwiseState(NamedTuple):
    """State of :func:`blockwise`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: updates taken
    key: Array  # typed key []: constant; step t draws from fold_in(key, t)
    value: Array  # float32 []: mean of the step's losses, in the loss's unit; inf before the first
    skipped: Array  # int32 []: slopes so far that were not usable, and counted as 0
    rested: Array  # bool []: whether the last step had no usable slope, and so moved nothing
    aux: Any  # of the last step's first point, if has_aux gives its structure; else None


def blockwise(
    eps: ScalarOrSchedule,
    key: KeyLike,
    *,
    blocks: Blocks = "layers",
    in_turn: ScalarOrSchedule | None = None,
    direction: Direction = Gaussian(),  # noqa: B008 (frozen)
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
      direction: Draws z, shaped like each leaf, with E[z zᵀ] = I. Blocks of one shape have
        independent z, for z depends on the path.
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
      ValueError: ``eps`` is not positive, the layers are not plain to find, or ``update`` got no
        ``params``.
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
    _check.instance("blockwise", "direction", direction, Direction)
    _check.one_of("blockwise", "evaluation", evaluation, EVALUATIONS)
    if in_turn is not None:
        _check.non_negative("blockwise", "in_turn", in_turn)
    check_blocks("blockwise", blocks)
    fresh_key = _check.typed_key("blockwise", key)

    def init(params: Params) -> BlockwiseState:
        _check.parameters("blockwise", params)
        find_blocks("blockwise", params, blocks)
        return BlockwiseState(key=fresh_key(), **begun(has_aux))

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_fn: ValueFn | None = None,
        meter: Meter | None = None,
        **extra_args: Any,
    ) -> tuple[Any, BlockwiseState]:
        del updates, extra_args
        _check.parameters("blockwise", params)
        found = find_blocks("blockwise", params, blocks)
        block_of = np.zeros(len(jax.tree.leaves(params)), np.int32)
        for number, block in enumerate(found):
            block_of[block.leaves] = number
        draws = Draws.at_step(direction, state.key, state.count, 1, params)
        scale = _check.at(eps, state.count)
        rate = _check.at(0.0 if in_turn is None else in_turn, state.count)

        def measure() -> Measured:
            loss = loss_at("blockwise", value_fn, params, evaluation, has_aux)

            def loss_of(block: int | Array, sign: Array, slopes: Array) -> tuple[Array, Any]:
                taken = jnp.where(block_of < block, -rate * slopes[block_of], 0.0)
                scales = jnp.where(block_of == block, sign * scale, taken)
                return loss(_scaled(draws.after(slopes).query(0), scales), 1.0)

            def slope_of(block: int | Array, before: Measured) -> Measured:
                signs = jnp.array([1.0, -1.0], jnp.float32)
                losses, aux = losses_at(
                    lambda end: loss_of(block, signs[end], before.scalars), 2, evaluation
                )
                slope, usable = central_slopes(losses, scale)
                return Measured(
                    before.scalars.at[block].set(slope[0]),
                    before.usable.at[block].set(usable[0]),
                    before.value + mean_loss(losses) / len(found),
                    aux,
                )

            none = Measured(
                jnp.zeros(len(found), jnp.float32),
                jnp.zeros(len(found), bool),
                jnp.zeros((), jnp.float32),
                kept_aux(has_aux),
            )
            if evaluation != "in_place":
                return lax.fori_loop(0, len(found), slope_of, none)
            for block in range(len(found)):
                none = slope_of(block, none)
            return none

        slopes = measured(meter, "slopes", len(found), measure)
        estimate = _estimate(draws.after(slopes.scalars), slopes.scalars[block_of], params)
        return estimate, BlockwiseState(key=state.key, **advanced(state, slopes))

    return optax.GradientTransformationExtraArgs(init, update)


def _scaled(noises: list[LeafNoise | None], scales: Array) -> list[ScaledNoise | None]:
    return [
        None if noise is None else ScaledNoise(noise, scale)
        for noise, scale in zip(noises, scales, strict=True)
    ]


@jax.jit
def _estimate(draws: Draws, slopes: Array, params: Params) -> Params:
    """slope·z, each leaf with the slope of its block and drawn where it is used."""
    leaves, tree = jax.tree.flatten(params)

    def estimate(leaf: Array, noise: LeafNoise | None, slope: Array) -> Array:
        if noise is None:
            return jnp.zeros_like(leaf)
        noise, [slope] = noise.tied([slope])
        return (slope * drawn(noise, leaf)).astype(leaf.dtype)

    return jax.tree.unflatten(tree, list(map(estimate, leaves, draws.query(0), slopes)))
