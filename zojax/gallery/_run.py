"""Run every optimizer on every function, each at the best learning rate of one grid."""

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
"""Four in each decade from 1e-6 to 100: the same for every optimizer."""

_Named = TypeVar("_Named", Function, Optimizer)


@dataclass(frozen=True)
class Run:
    """One optimizer on one function, at its tuned learning rate.

    Values are those of the function less its minimum; inf where a run left the finite numbers.
    """

    function: Function
    optimizer: Optimizer
    learning_rates: np.ndarray  # float32 [rates]: the grid
    scores: np.ndarray  # float32 [rates]: upper quartile of the tuning seeds' final values
    points: np.ndarray  # float32 [seeds, steps + 1, 2]: of other seeds, at the tuned rate
    values: np.ndarray  # float32 [seeds, steps + 1]: at those points

    @property
    def learning_rate(self) -> float:
        """The grid's best; of equals the smallest."""
        return float(self.learning_rates[np.argmin(self.scores)])

    @property
    def forward_passes(self) -> np.ndarray:
        """Int [steps + 1]: what had been taken of the budget at each point."""
        return np.arange(self.values.shape[1]) * self.optimizer.cost

    @property
    def median_seed(self) -> int:
        """The seed whose final value is the median."""
        order = np.argsort(self.values[:, -1], kind="stable")
        return int(order[(len(order) - 1) // 2])

    def quantile(self, fraction: float) -> np.ndarray:
        """Float32 [steps + 1]: the values' quantile over the seeds, always one of the values."""
        return _quantile(self.values, fraction)


@dataclass(frozen=True)
class Gallery:
    """What :func:`run` returns."""

    runs: tuple[Run, ...]  # by function, then by optimizer
    steps: int  # of two forward passes
    seeds: int
    seed: int
    seconds: float  # wall time, compilation included

    @property
    def functions(self) -> tuple[Function, ...]:
        """The functions, in order."""
        return tuple(dict.fromkeys(run.function for run in self.runs))

    def of(self, function: Function) -> tuple[Run, ...]:
        """The runs on one function."""
        return tuple(run for run in self.runs if run.function == function)

    def rows(self) -> list[dict[str, Any]]:
        """A table of the final values, ready for JSON: None where a run diverged."""
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

    The budget of a run is ``2 * steps`` forward passes: as many steps of an optimizer with a
    two-point estimate. A gradient is worth three, so that a first-order optimizer takes two steps
    for three of those (:mod:`zojax.passes`).

    Each learning rate of the grid is tried with ``seeds`` seeds. The tuned one is that whose final
    values have the smallest upper quartile: what three runs in four reach. (By the median, rates
    would win at which nearly half of the runs diverge.) What is returned are runs of as many other
    seeds at that rate, so that luck in tuning is not shown. All optimizers and functions share
    the seeds.

    Args:
      functions: Names of :data:`FUNCTIONS`, or your own :class:`Function`.
      optimizers: Names of :data:`OPTIMIZERS`, or your own :class:`Optimizer`.
      steps: Steps of two forward passes; enough of them for two steps of each optimizer.
      seeds: Runs to tune on, and again to show.
      seed: All random numbers follow from it.
      learning_rates: The grid, positive.
      tell: Hears what begins.

    Returns:
      The runs, and how long they took.

    Cost: ``2 * seeds * len(learning_rates)`` runs for each pair, all in one compiled program. It
      holds every point of them, 12 bytes each: 20 MB with the defaults.

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
    if steps < dearest.cost:  # one step shows no curve
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
    """``(learning rate [], key []) -> (points [steps + 1, 2], values [steps + 1])``."""
    least = function.value(jnp.asarray(function.minimum, jnp.float32))

    def descend(rate: Array, key: Array) -> tuple[Array, Array]:
        tx = optax.with_extra_args_support(optimizer.make(rate, key, steps))
        start = jnp.asarray(function.start, jnp.float32)

        def step(carry: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], Array]:
            params, state = carry
            gradient: Any = jax.grad(function.value)(params) if optimizer.first_order else None
            updates, state = tx.update(gradient, state, params, value_fn=function.value)
            moved = jnp.asarray(optax.apply_updates(params, updates))
            return (moved, state), moved

        _, moved = jax.lax.scan(step, (start, tx.init(start)), None, steps)
        points = jnp.concatenate([start[None], moved])
        return points, jax.vmap(function.value)(points) - least

    return descend


def _quantile(values: np.ndarray, fraction: float) -> np.ndarray:
    # Without interpolation, which makes NaN of infinities.
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
