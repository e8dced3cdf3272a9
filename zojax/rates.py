"""Learning rates in one unit, and a search for the one that a model and its data ask for.

An update is θ ← θ − η·(1/N)·Σ cᵢzᵢ over N directions zᵢ. Where the slopes cᵢ are of order 1, as
with ``slope_rule="rms"`` or ``"spread"``, in ``zo_sgd_sign`` and in ``zo_adam``, η/√N is the root
mean square change of a parameter in a step, whatever the loss is. In :func:`zojax.mezo` as it was
published cᵢ is a slope itself, so that its rates depend on the loss, the batch and the model.

A rate that fits many parameters is small: the length of a step is about η·√(d/N). See
:func:`usual_rate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zojax import _check
from zojax._quantized import abstract, wholes
from zojax._types import Array, Params
from zojax.estimators import last_loss

FACTOR = 10**0.5
LENGTH = 0.5
"""The length of a step in parameter units, η·√(d/N), that :func:`usual_rate` gives."""


class RateSearch(NamedTuple):
    """What :func:`find_rate` tried, and what it found.

    Attributes:
      rate: The rate to use.
      rates: The rates that were tried, in ascending order.
      losses: For each of them the mean loss of the second half of the steps; inf where a loss was
        not finite.
      steps: Steps taken for all rates together.
    """

    rate: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    steps: int


def usual_rate(params: Params, num_queries: int = 1) -> float:
    """The rate at which a step has the length ½, in the unit of this module: ½·√(N/d).

    It is where :func:`find_rate` begins, and what ``zojax finetune`` takes by default.

    Args:
      params: The d parameters to tune; of arrays or shapes. A quantized weight counts as the array
        that it stands for.
      num_queries: N, the directions of a step.
    """
    leaves = map(abstract, jax.tree.leaves(wholes(params)))
    number = sum(
        math.prod(jnp.shape(leaf))
        for leaf in leaves
        if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
    )
    if not number:
        raise ValueError("usual_rate: params must have floating-point leaves, got none.")
    return LENGTH * math.sqrt(num_queries / number)


def find_rate(
    make: Callable[[Any], optax.GradientTransformation],
    params: Params,
    loss: Callable[[Params, Any], Array],
    batches: Sequence[Any],
    *,
    first: float | None = None,
) -> RateSearch:
    """Find a learning rate by a few steps at each of several rates, all from the same parameters.

    The search begins at ``first`` and goes on by factors of √10, upwards or downwards, as long as
    the loss gets better. All rates see the same batches and directions, so that their losses can
    be compared after a few steps. It returns the rate below the best: over many steps, as the
    slopes get smaller, what is best over a few is too large.

    Args:
      make: From a learning rate, float32 [] or a float, to an optimizer of zojax; it is traced, so
        the rate must not be used as a Python number.
      params: The parameters to start from; they are kept.
      loss: ``loss(params, batch)``, float [].
      batches: Batches for one rate's steps, at least 8; pytrees of equal shapes.
      first: The first rate to try; :func:`usual_rate` where None.

    Returns:
      The rate and the losses of all that were tried: the same for the same arguments.

    Cost: ``len(batches)`` steps for each of 3 to 12 rates, mostly 4 or 5. In memory a second copy
      of the parameters.

    Raises:
      ValueError: There are fewer than 8 batches, ``first`` is not positive, or no rate has finite
        losses.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> found = zojax.find_rate(
      ...     lambda rate: zojax.mezo(rate, eps=1e-3, key=0, slope_rule="rms"),
      ...     {"x": jnp.zeros(100)},
      ...     lambda params, target: jnp.sum((params["x"] - target) ** 2),
      ...     [jnp.ones(100)] * 32,
      ... )
      >>> bool(found.rate == found.rates[found.losses.index(min(found.losses)) - 1])
      True
    """
    if len(batches) < 8:
        raise ValueError(f"find_rate: batches must be at least 8, got {len(batches)}.")
    if first is not None:
        _check.positive("find_rate", "first", first)

    @jax.jit
    def start(rate: Array) -> tuple[Params, Any]:
        return jax.tree.map(jnp.copy, params), make(rate).init(params)

    def step(rate: Array, params: Params, state: Any, batch: Any) -> tuple[Params, Any, Array]:
        tx = optax.with_extra_args_support(make(rate))
        updates, state = tx.update(
            None,  # pyright: ignore[reportArgumentType] - an estimator needs no gradient
            state,
            params,
            value_fn=lambda p: loss(p, batch),
        )
        moved: Any = optax.apply_updates(params, updates)  # pyright: ignore[reportArgumentType]
        return moved, state, last_loss(state)

    compiled = jax.jit(step, donate_argnums=(1, 2))

    def losses_at(rate: float) -> list[float]:
        eta = jnp.float32(rate)
        moved, state = start(eta)
        losses: list[Array] = []
        for batch in batches:
            moved, state, value = compiled(eta, moved, state, batch)
            losses.append(value)
        return [float(value) for value in losses]

    return search(losses_at, usual_rate(params) if first is None else first)


def search(
    losses_at: Callable[[float], Sequence[float]],
    first: float,
    *,
    most: int = 12,
    tried: Callable[[float, float], None] | None = None,
) -> RateSearch:
    """The search of :func:`find_rate`, for steps that are taken elsewhere.

    Args:
      losses_at: From a rate to the losses of its steps.
      first: The first rate to try.
      most: Rates to try at most.
      tried: Called with each rate and its loss.
    """
    scores: dict[int, float] = {}
    steps = 0

    def rate_of(place: int) -> float:
        return float(f"{first * FACTOR**place:.2g}")

    def score(place: int) -> float:
        nonlocal steps
        if place not in scores:
            losses = np.asarray(losses_at(rate_of(place)), np.float64)
            steps += len(losses)
            mean = losses[len(losses) // 2 :].mean()
            scores[place] = float(mean) if np.all(np.isfinite(losses)) else math.inf
            if tried is not None:
                tried(rate_of(place), scores[place])
        return scores[place]

    score(0)
    while len(scores) < most:
        low, high = min(scores), max(scores)
        best = min(scores, key=score)
        if math.isinf(scores[best]) or best == low:
            score(low - 1)
        elif best == high:
            score(high + 1)
        else:
            break
    places = sorted(scores)
    best = min(places, key=score)
    if math.isinf(scores[best]):
        raise ValueError(
            "find_rate: a loss was not finite at every rate from "
            f"{rate_of(places[0]):g} to {rate_of(places[-1]):g}. Look at the loss at the "
            "parameters themselves, and at eps."
        )
    return RateSearch(
        rate=rate_of(best - 1),
        rates=tuple(rate_of(place) for place in places),
        losses=tuple(scores[place] for place in places),
        steps=steps,
    )
