"""Centred ranks in place of losses."""

from __future__ import annotations

import jax.numpy as jnp

from zojax._types import Array
from zojax.slope_rules._of_losses import LossRule, of_losses


def ranks() -> LossRule:
    r"""Replaces each loss by its rank among the step's losses.

    .. math:: d_i \leftarrow \tfrac12 (r_i^+ - r_i^-), \qquad
        r = \frac{\mathrm{rank} - \overline{\mathrm{rank}}}{\mathrm{std}(\mathrm{rank})}

    with the ranks of all losses of the step: equal losses share their mean rank, the mean of r is 0
    and its standard deviation 1, or 0 where all losses are equal. Of losses at one end,
    :math:`d_i \leftarrow r_i`. Any increasing function of the losses leaves the steps as they are,
    and no single loss, however large, outweighs the others.

    It takes losses, so it goes with differences of losses at given points: :func:`zojax.spsa`,
    central or centred. A direction of which a loss is not finite takes no part in the ranks.

    Returns:
      A :class:`zojax.slope_rules.LossRule`; as a transformation of float32 [p] it gives the centred
      ranks of what it gets. No state.

    References:
      Wierstra et al., 2014, Natural Evolution Strategies (fitness shaping). Salimans et al., 2017,
      arXiv:1703.03864. Sarkar et al., 2025, arXiv:2511.16652.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> rule = zojax.slope_rules.ranks()
      >>> scores, _ = rule.update(jnp.array([0.3, 70.0, 0.1]), rule.init(None))
      >>> [round(float(score), 3) for score in scores]
      [0.0, 1.225, -1.225]
    """
    return of_losses(_centred_ranks)


def _centred_ranks(losses: Array, usable: Array) -> Array:
    number = jnp.sum(usable, dtype=jnp.int32)
    ordered = jnp.sort(jnp.where(usable, losses, jnp.inf))
    before = jnp.searchsorted(ordered, losses, side="left")
    not_after = jnp.searchsorted(ordered, losses, side="right")
    # Twice a rank less twice the mean of all: whole numbers, whose sums are exact in any order.
    centred = before.astype(jnp.int32) + not_after.astype(jnp.int32) - number
    centred = jnp.where(usable, centred, 0).astype(losses.dtype)
    total = jnp.sum(jnp.square(centred))
    deviation = jnp.sqrt(total / jnp.maximum(number, 1).astype(losses.dtype))
    return centred / jnp.where(total > 0, deviation, jnp.ones_like(deviation))
