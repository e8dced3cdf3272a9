"""The three phases of ZO-AdaMU's smoothing parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
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


# The paper's best run, in steps.
PHASES = (1024, 16000, 20000)


def adamu_schedules(
    phases: tuple[int, int, int] | None = None,
    anneal: Anneal = "figure",
    *,
    num_steps: int | None = None,
) -> AdamuSchedules:
    r"""α, β₁ and β₂ over the steps: 1 before T₁, annealed from T₁ to T₂, constant after.

    The paper's text and figures disagree on the middle phase, so both are here.

    ``"figure"``, as Figure 1 plots it: half a cosine from 1 to 0.5 (α), 0.1 (β₁) and 0.01 (β₂).

    ``"equation"``, Equation 7:

    .. math::
        \tfrac12 + \tfrac12 \cos\Bigl(\pi\,
        \frac{t - T_1}{T_3 - \varphi\,(t - T_1)\,\frac{T_3 - T_2}{T_2 - T_1}}\Bigr)

    with φ = 1 (α), 0.1 (β₁) and 1.5 (β₂): about 0.01, 0.13 and 0.01 at T₂ of the default phases.
    For β₂ the denominator at T₂ is :math:`\tfrac12 (3 T_2 - T_3)`, and the cosine turns back up
    where T₂ - T₁ exceeds it. With the default phases it does by 7 %, and so β₂ ends at 0.01. Phases
    for which it does by more than a half, so that β₂ turns up past ½ or is divided by zero, are
    refused.

    Args:
      phases: (T₁, T₂, T₃) in steps, 0 <= T₁ < T₂ <= T₃; T₃ is the length of the training. With
        ``"equation"``, 4T₁ + 5T₂ >= 3T₃ too. The paper's (1024, 16000, 20000) where None.
      anneal: ``"figure"`` or ``"equation"``.
      num_steps: The length of the training, >= 1: the paper's phases in proportion, instead of
        ``phases``.

    Returns:
      Three functions of the step.

    Raises:
      ValueError: the phases are out of order or not those of the equation, ``anneal`` is unknown,
        ``num_steps`` < 1, or both ``phases`` and ``num_steps`` are given.
      TypeError: ``phases`` are not three ints, or ``num_steps`` is not an int.

    References:
      Jiang et al., 2024, arXiv:2312.15184, Equation 7 and Figure 1.

    Examples:
      >>> schedules = adamu_schedules((10, 100, 200))
      >>> [round(float(schedules.alpha(step)), 2) for step in (0, 55, 100, 200)]
      [1.0, 0.75, 0.5, 0.5]
    """
    return annealed("adamu_schedules", phases, anneal, num_steps)


def annealed(
    where: str, phases: tuple[int, int, int] | None, anneal: Anneal, num_steps: int | None
) -> AdamuSchedules:
    """:func:`adamu_schedules`, with the name of the caller for messages."""
    _check.one_of(where, "anneal", anneal, ("figure", "equation"))
    first, second, last = _phases(where, phases, num_steps)
    if anneal == "equation":
        _check_equation(where, first, second, last)

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


def _phases(where: str, phases: Any, num_steps: int | None) -> tuple[int, int, int]:
    """The phases given, or the paper's in proportion to a length given."""
    if num_steps is not None:
        if phases is not None:
            raise ValueError(
                f"{where}: phases must not be given together with num_steps, which scales the "
                f"paper's, got {phases!r} and {num_steps!r}. Give one of them."
            )
        _check.count(where, "num_steps", num_steps)
        steps = int(num_steps)
        first, second, last = PHASES
        # Down and up, so that T₁ < T₂ also where there are few steps.
        return steps * first // last, math.ceil(steps * second / last), steps
    if phases is None:
        return PHASES
    steps = tuple(phases) if isinstance(phases, Sequence) else ()
    integers = [isinstance(x, int | np.integer) and not isinstance(x, bool) for x in steps]
    if len(steps) != 3 or not all(integers):
        raise TypeError(
            f"{where}: phases must be three ints (T1, T2, T3), got {phases!r}. Give num_steps "
            f"for the paper's phases in proportion."
        )
    first, second, last = map(int, steps)
    if not 0 <= first < second <= last:
        raise ValueError(f"{where}: phases must be steps 0 <= T1 < T2 <= T3, got {steps}.")
    return first, second, last


def _check_equation(where: str, first: int, second: int, last: int) -> None:
    """Refuses phases for which Equation 7 ends beyond 3/2 of half a turn.

    Its denominator falls from T₃ to T₃ - φ(T₃ - T₂), so the angle is greatest at T₂. For φ <= 1
    it is within half a turn whatever the phases; for φ = 1.5 the denominator may reach 0.
    """
    for name, rate in zip(AdamuSchedules._fields, EQUATION_RATES, strict=True):
        if second - first > 1.5 * (last - rate * (last - second)):
            raise ValueError(
                f'{where}: phases must satisfy 4 T1 + 5 T2 >= 3 T3 for anneal="equation", whose '
                f"{name} would turn back up past 1/2 or divide by zero, got "
                f'{(first, second, last)}. Take a later T2, or anneal="figure".'
            )
