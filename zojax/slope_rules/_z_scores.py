"""Standard scores in place of losses."""

from __future__ import annotations

import jax.numpy as jnp

from zojax import _check
from zojax._types import Array
from zojax.slope_rules._of_losses import LossRule, of_losses


def z_scores(eps: float = 1e-8) -> LossRule:
    r"""Replaces each loss by its distance from the mean of the step's, in standard deviations.

    .. math:: d_i \leftarrow \tfrac12 (s_i^+ - s_i^-), \qquad
        s = \frac{L - \bar L}{\mathrm{std}(L) + 10^{-8}}

    with mean and standard deviation over all losses of the step, divided by their number. Of losses
    at one end, :math:`d_i \leftarrow s_i`. Where all losses are equal the scores are 0.

    It takes losses, as :func:`zojax.slope_rules.ranks` does, and goes with the same estimators.

    Args:
      eps: Added to the standard deviation, in the loss's unit; > 0.

    Returns:
      A :class:`zojax.slope_rules.LossRule`; as a transformation of float32 [p] it gives the scores
      of what it gets. No state.

    Raises:
      ValueError: ``eps`` is not positive.

    References:
      Qiu et al., 2025, arXiv:2509.24372.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> rule = zojax.slope_rules.z_scores()
      >>> scores, _ = rule.update(jnp.array([3.0, 1.0, 2.0]), rule.init(None))
      >>> [round(float(score), 3) for score in scores]
      [1.225, -1.225, 0.0]
    """
    _check.positive("z_scores", "eps", eps)

    def score(losses: Array, usable: Array) -> Array:
        known = jnp.where(usable, losses, jnp.zeros_like(losses))
        number = jnp.maximum(jnp.sum(usable, dtype=jnp.int32), 1).astype(losses.dtype)
        distance = jnp.where(usable, losses - jnp.sum(known) / number, jnp.zeros_like(losses))
        deviation = jnp.sqrt(jnp.sum(jnp.square(distance)) / number)
        least = jnp.min(jnp.where(usable, losses, jnp.inf))
        most = jnp.max(jnp.where(usable, losses, -jnp.inf))
        # A mean of equal numbers may be rounded, and eps is as small as that.
        return jnp.where(least < most, distance / (deviation + eps), jnp.zeros_like(losses))

    return of_losses(score)
