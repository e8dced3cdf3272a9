"""Slopes over their running root mean square."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from zojax import _check
from zojax._types import Array
from zojax._xla import rounded


class RmsState(NamedTuple):
    """State of :func:`rms`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: steps taken
    nu: Array  # float32 []: moving average of the mean of d², from 0


def rms(decay: float = 0.99, eps: float = 1e-8) -> optax.GradientTransformationExtraArgs:
    r"""Divides the slopes by their running root mean square.

    .. math::
        v \leftarrow \beta v + (1-\beta)\,\frac1q \sum_i d_i^2, \qquad
        d_i \leftarrow \frac{d_i}{\sqrt{v / (1-\beta^{t+1})} + 10^{-8}}

    Adam's second moment, of the numbers that a step measures: one scalar of state in place of a
    buffer. Losses times a constant leave the steps as they are. The mean is over the slopes that
    are usable. (The paper squares the mean of the slopes, which is the same for one query; centred
    slopes have a mean of 0.)

    Args:
      decay: β in [0, 1).
      eps: Added to the denominator; ≥ 0.

    Returns:
      A transformation of float32 [q]; its state is one scalar and a count.

    Raises:
      ValueError: ``decay`` is outside [0, 1), or ``eps`` is negative.

    References:
      MEAZO, arXiv:2605.03869; β is ours.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> rule = zojax.slope_rules.rms()
      >>> slopes, _ = rule.update(jnp.array([4.0, -2.0]), rule.init(jnp.zeros(2)))
      >>> [round(float(slope), 3) for slope in slopes]
      [1.265, -0.632]
    """
    _check.fraction("rms", "decay", decay)
    _check.non_negative("rms", "eps", eps)
    if decay == 1:
        raise ValueError("rms: decay must be < 1, got 1: the average would never move.")

    def init(params: Any) -> RmsState:
        del params
        return RmsState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32))

    def update(
        slopes: Array, state: Any, params: Any = None, *, usable: Any = None, **extra_args: Any
    ) -> tuple[Array, RmsState]:
        del params, extra_args
        # Of a step without a usable slope the state is not kept.
        number = jnp.size(slopes) if usable is None else jnp.maximum(jnp.sum(usable), 1)
        square = jnp.sum(jnp.square(slopes)) / jnp.float32(number)
        nu = rounded(decay * state.nu) + rounded((1.0 - decay) * square)
        count = _check.next_count(state.count)
        unbiased = nu / (1.0 - decay ** count.astype(jnp.float32))
        return slopes / (jnp.sqrt(unbiased) + eps), RmsState(count, nu)

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]
