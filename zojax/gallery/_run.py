"""Runs every optimizer on every function, at the best learning rate of a common grid."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zojax import _check
from zojax._types import Array
from zojax.gallery._functions import FUNCTIONS, Function
from zojax.gallery._optimizers import OPTIMIZERS, Optimizer

PAPERS = ("adam", "adamax", "mezo", "zo_adamu")
"""The optimizers of the paper's figure."""

LEARNING_RATES = tuple(float(f"{10 ** (quarter / 4):.3g}") for quarter in range(-24, 9))
"""The grid, the same for every optimizer: four rates in each decade from 1e-6 to 100."""

_Named = TypeVar("_Named", Function, Optimizer)


@dataclass(frozen=True)
class Run:
    """Runs of one optimizer on one function, at its tuned learning rate.

    Values are those of the function minus its minimum value; inf where they are not finite.
    """

    function: Function
    optimizer: Optimizer
    learning_rates: np.ndarray  # float32 [rates]: the grid
    scores: np.ndarray  # float32 [rates]: upper quartile of the tuning seeds' final values
    points: np.ndarray  # float32 [seeds, steps + 1, 2]: runs of other seeds, at the tuned rate
    values: np.ndarray  # float32 [seeds, steps + 1]: values at those points

    @property
    def learning_rate(self) -> float:
        """The best learning rate of the grid; the smallest one if several are equal."""
        return float(self.learning_rates[np.argmin(self.scores)])

    @property
    def forward_passes(self) -> np.ndarray:
        """The forward passes used until each point, int [steps + 1]."""
        return np.arange(self.values.shape[1]) * self.optimizer.cost

    @property
    def median_seed(self) -> int:
        """The seed whose final value is the median."""
        order = np.argsort(self.values[:, -1], kind="stable")
        return int(order[(len(order) - 1) // 2])

    def quantile(self, fraction: float) -> np.ndarray:
        """The quantile of the values over the seeds, float32 [steps + 1], without interpolation."""
        return _quantile(self.values, fraction)


@dataclass(frozen=True)
class Gallery:
    """The result of :func:`run`."""

    runs: tuple[Run, ...]  # ordered by function, then by optimizer
    steps: int  # the budget, in steps of two forward passes
    seeds: int  # number of runs that are shown
    seed: int  # the seed of all random numbers
    seconds: float  # wall-clock time, including compilation

    @property
    def functions(self) -> tuple[Function, ...]:
        """The functions, in order."""
        return tuple(dict.fromkeys(run.function for run in self.runs))

    def of(self, function: Function) -> tuple[Run, ...]:
        """The runs on one function."""
        return tuple(run for run in self.runs if run.function == function)

    def rows(self) -> list[dict[str, Any]]:
        """Return a table of the final values as types of JSON; None for a run that diverged."""
        return [
            {
                "function": run.function.name,
                "optimizer": run.optimizer.name,
                "learning rate": float(f"{run.learning_rate:.3g}"),
                "final value, median": _finite(run.quantile(0.5)[-1]),
                "lower quartile": _finite(run.quantile(0.25)[-1]),
                "upper quartile": _finite(run.quantile(0.75)[-1]),
            }
            for run in self.runs
        ]


def run(
    functions: Iterable[str | Function] = tuple(FUNCTIONS),
    optimizers: Iterable[str | Optimizer] = PAPERS,
    *,
    steps: int = 1000,
    seeds: int = 25,
    seed: int = 0,
    learning_rates: Iterable[float] = LEARNING_RATES,
    tell: Callable[[str], None] = lambda _: None,
) -> Gallery:
    """Minimise every function with every optimizer, from the same start and budget.

    The budget of a run is ``2 * steps`` forward passes, which is ``steps`` steps of an optimizer
    with a two-point estimate. A gradient costs three forward passes, so a first-order optimizer
    takes two steps when the former takes three (:mod:`zojax.passes`).

    Each learning rate of the grid is tried with ``seeds`` seeds. The tuned rate is the one whose
    final values have the smallest upper quartile, which three runs of four reach. (By the median, a
    rate at which nearly half of the runs diverge could be the best.) The result has runs of as many
    other seeds at that rate, so that luck in tuning does not show. All optimizers and functions use
    the same seeds.

    Args:
      functions: Names of :data:`FUNCTIONS`, or your own :class:`Function`.
      optimizers: Names of :data:`OPTIMIZERS`, or your own :class:`Optimizer`.
      steps: The budget, in steps of two forward passes; enough for two steps of each optimizer.
      seeds: The number of runs to tune with, and of further runs to show.
      seed: Determines all random numbers.
      learning_rates: The grid of positive rates.
      tell: Called with a line for each pair of function and optimizer.

    Returns:
      The runs, and the time that they took.

    Cost: ``2 * seeds * len(learning_rates)`` runs for each pair, all in one compiled program, which
      stores every point of them in 12 bytes: 20 MB with the defaults.

    Raises:
      ValueError: A name is unknown or given twice, there are no functions, optimizers or rates, or
        a number is too small.
    """
    chosen = _resolve("functions", functions, FUNCTIONS, Function)
    makers = _resolve("optimizers", optimizers, OPTIMIZERS, Optimizer)
    rates = tuple(learning_rates)
    if not rates:
        raise ValueError("gallery: learning_rates must not be empty.")
    for rate in rates:
        _check.positive("gallery", "learning_rates", rate)
    dearest = max(makers, key=lambda optimizer: optimizer.cost)
    if steps < dearest.cost:  # a curve needs at least two steps
        raise ValueError(
            f"gallery: steps must be >= {dearest.cost}, two steps of {dearest.name}, got {steps}."
        )
    _check.count("gallery", "seeds", seeds)
    start = time.perf_counter()
    runs: list[Run] = []
    for function in chosen:
        for optimizer in makers:
            number = len(runs) + 1
            tell(f"{number}/{len(chosen) * len(makers)} {function.name}, {optimizer.name}")
            runs.append(_tuned(function, optimizer, steps, seeds, seed, rates))
    return Gallery(tuple(runs), steps, seeds, seed, time.perf_counter() - start)


def _tuned(
    function: Function,
    optimizer: Optimizer,
    steps: int,
    seeds: int,
    seed: int,
    rates: tuple[float, ...],
) -> Run:
    grid = jnp.asarray(rates, jnp.float32)
    keys = jax.random.split(jax.random.key(seed), 2 * seeds)
    descend = _descent(function, optimizer, 2 * steps // optimizer.cost)
    points, values = jax.jit(jax.vmap(jax.vmap(descend, (None, 0)), (0, None)))(grid, keys)
    points, values = np.asarray(points), np.asarray(values)
    values = np.where(np.isfinite(values), values, np.inf)
    scores = _quantile(values[:, :seeds, -1].T, 0.75)
    best = np.argmin(scores)
    return Run(
        function, optimizer, np.asarray(grid), scores, points[best, seeds:], values[best, seeds:]
    )


def _descent(
    function: Function, optimizer: Optimizer, steps: int
) -> Callable[[Array, Array], tuple[Array, Array]]:
    """Make ``(learning rate [], key []) -> (points [steps + 1, 2], values [steps + 1])``."""
    least = function.value(jnp.asarray(function.minimum, jnp.float32))

    def descend(rate: Array, key: Array) -> tuple[Array, Array]:
        tx = optax.with_extra_args_support(optimizer.make(rate, key, steps))
        start = jnp.asarray(function.start, jnp.float32)

        def step(carry: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], Array]:
            params, state = carry
            gradient: Any = jax.grad(function.value)(params) if optimizer.first_order else None
            updates, state = tx.update(gradient, state, params, value_fn=function.value)
            params = jnp.asarray(optax.apply_updates(params, updates))
            return (params, state), params

        _, path = jax.lax.scan(step, (start, tx.init(start)), None, steps)
        points = jnp.concatenate([start[None], path])
        return points, jax.vmap(function.value)(points) - least

    return descend


def _quantile(values: np.ndarray, fraction: float) -> np.ndarray:
    # No interpolation, because between infinities it would give NaN.
    return np.quantile(values, fraction, axis=0, method="inverted_cdf")


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _resolve(
    argument: str, chosen: Iterable[str | _Named], known: Mapping[str, _Named], kind: type[_Named]
) -> tuple[_Named, ...]:
    found = [_known(argument, c, known) if isinstance(c, str) else c for c in chosen]
    for choice in found:
        if not isinstance(choice, kind):
            raise TypeError(
                f"gallery: {argument} must be names or zojax.gallery.{kind.__name__}, got "
                f"{choice!r}."
            )
    names = [choice.name for choice in found]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"gallery: {argument} must be different names, at least one, got {names}.")
    return tuple(found)


def _known(argument: str, name: str, known: Mapping[str, _Named]) -> _Named:
    if name not in known:
        raise ValueError(f"gallery: {argument} must be among {', '.join(known)}, got {name!r}.")
    return known[name]
