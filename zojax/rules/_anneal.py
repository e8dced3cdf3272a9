"""The three phases of ZO-AdaMU's smoothing parameters."""

import math
from typing import Literal, NamedTuple, TypeAlias

import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from zojax import _check
from zojax._types import Array

Anneal: TypeAlias = Literal["figure", "equation"]


class AdamuSchedules(NamedTuple):
    """Schedules of ZO-AdaMU's three smoothing parameters."""

    alpha: optax.Schedule  # variance of the zero-centred part; 1 - alpha of the other
    beta1: optax.Schedule  # weight of the zero-centred part in the direction
    beta2: optax.Schedule  # weight of the zero-centred part in the variance


# For alpha, beta1 and beta2 in turn.
FIGURE_ENDS = (0.5, 0.1, 0.01)
EQUATION_RATES = (1.0, 0.1, 1.5)


def adamu_schedules(
    phases: tuple[int, int, int] = (1024, 16000, 20000), anneal: Anneal = "figure"
) -> AdamuSchedules:
    r"""α, β₁ and β₂ over the steps: 1 before T₁, annealed from T₁ to T₂, constant after.

    The paper's text and figures disagree on the middle phase, so both are here.

    ``"figure"``, as Figure 1 plots it: half a cosine from 1 to 0.5 (α), 0.1 (β₁) and 0.01 (β₂).

    ``"equation"``, Equation 7:

    .. math::
        \tfrac12 + \tfrac12 \cos\Bigl(\pi\,
        \frac{t - T_1}{T_3 - \varphi\,(t - T_1)\,\frac{T_3 - T_2}{T_2 - T_1}}\Bigr)

    with φ = 1 (α), 0.1 (β₁) and 1.5 (β₂): about 0.01, 0.13 and 0.01 at T₂ of the default phases.

    Args:
      phases: (T₁, T₂, T₃) in steps, 0 <= T₁ < T₂ <= T₃; T₃ is the length of the training.
      anneal: ``"figure"`` or ``"equation"``.

    Returns:
      Three functions of the step.

    Raises:
      ValueError: the phases are out of order or ``anneal`` is unknown.

    References:
      Jiang et al., 2024, arXiv:2312.15184, Equation 7 and Figure 1.

    Examples:
      >>> schedules = adamu_schedules((10, 100, 200))
      >>> [round(float(schedules.alpha(step)), 2) for step in (0, 55, 100, 200)]
      [1.0, 0.75, 0.5, 0.5]
    """
    _check.one_of("adamu_schedules", "anneal", anneal, ("figure", "equation"))
    first, second, last = phases
    if not 0 <= first < second <= last:
        raise ValueError(
            f"adamu_schedules: phases must be steps 0 <= T1 < T2 <= T3, got {tuple(phases)}."
        )

    def progress(step: ArrayLike) -> Array:
        return jnp.clip(jnp.asarray(step, jnp.float32) - first, 0.0, second - first)

    def figure(end: float) -> optax.Schedule:
        def schedule(step: ArrayLike) -> Array:
            cosine = jnp.cos(math.pi * progress(step) / (second - first))
            return end + (1.0 - end) * 0.5 * (1.0 + cosine)

        return schedule

    def equation(rate: float) -> optax.Schedule:
        def schedule(step: ArrayLike) -> Array:
            since = progress(step)
            shrunk = last - rate * since * ((last - second) / (second - first))
            return 0.5 + 0.5 * jnp.cos(math.pi * since / shrunk)

        return schedule

    if anneal == "figure":
        return AdamuSchedules(*map(figure, FIGURE_ENDS))
    return AdamuSchedules(*map(equation, EQUATION_RATES))
