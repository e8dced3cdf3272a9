"""Slopes over their standard deviation."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from zojax import _check
from zojax._types import Array
from zojax._xla import rounded


class SpreadState(NamedTuple):
    """State of :func:`spread`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: steps taken
    mean: Array  # float32 []: moving average of the standard deviation, from 0


def spread(
    floor: float = 0.1, decay: float = 0.99, eps: float = 1e-8
) -> optax.GradientTransformationExtraArgs:
    r"""Divides the slopes by their standard deviation over the step's queries.

    .. math::
        d_i \leftarrow \frac{d_i}{\max(s,\ f\,\bar s,\ 10^{-8})}, \qquad
        s^2 = \frac{1}{q-1} \sum_i (d_i - \bar d)^2

    with the running mean :math:`\bar s` of s. The floor is what keeps a step whose losses are
    nearly equal from being a large one. Losses times a constant leave the steps as they are. Slopes
    that are not usable do not count. A single one that is has no spread: s is then the running
    mean, or the slope's size where there is none yet.

    Args:
      floor: f ≥ 0: the least standard deviation that counts, as a share of its running mean.
      decay: Of the running mean, in [0, 1).
      eps: The least that is divided by; > 0.

    Returns:
      A transformation of float32 [q], q ≥ 2; its state is one scalar and a count.

    Raises:
      ValueError: an argument is out of range, or there is one slope only, which has no spread.

    References:
      FZOO, arXiv:2506.09034; GRZO, arXiv:2606.02857. The floor is ours.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> rule = zojax.slope_rules.spread()
      >>> rule.update(jnp.array([3.0, 1.0, -1.0]), rule.init(jnp.zeros(3)))[0].tolist()
      [1.5, 0.5, -0.5]
    """
    _check.non_negative("spread", "floor", floor)
    _check.fraction("spread", "decay", decay)
    _check.positive("spread", "eps", eps)
    if decay == 1:
        raise ValueError("spread: decay must be < 1, got 1: the average would never move.")

    def init(params: Any) -> SpreadState:
        if jnp.size(params) < 2:
            raise ValueError(
                "spread: num_queries must be >= 2, got 1: one slope has no spread. Use rms()."
            )
        return SpreadState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32))

    def update(
        slopes: Array, state: Any, params: Any = None, *, usable: Any = None, **extra_args: Any
    ) -> tuple[Array, SpreadState]:
        del params, extra_args
        usable = jnp.ones(slopes.shape, bool) if usable is None else usable
        several = jnp.sum(usable) > 1
        counted = usable | ~several  # so that no deviation is that of a single number
        usual = state.mean / (1.0 - decay ** jnp.maximum(state.count, 1).astype(jnp.float32))
        alone = jnp.where(state.count > 0, usual, jnp.max(jnp.abs(slopes)))
        deviation = jnp.where(several, jnp.std(slopes, ddof=1, where=counted), alone)
        mean = rounded(decay * state.mean) + rounded((1.0 - decay) * deviation)
        count = _check.next_count(state.count)
        usual = mean / (1.0 - decay ** count.astype(jnp.float32))
        scale = jnp.maximum(jnp.maximum(deviation, floor * usual), eps)
        return slopes / scale, SpreadState(count, mean)

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]
