"""Check the core where nothing is installed but zojax, jax, optax, numpy and what those need.

Imports the core's subpackages, takes a step of every named optimizer, and writes, reads and replays
a log, each of which must need no model library.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import zojax

# All that is public in zojax but the language-model application, the command, and what is for flax.
CORE = sorted(
    {module.name for module in pkgutil.iter_modules(zojax.__path__) if module.name[0] != "_"}
    - {"cli", "flax", "lm"}
)
LAZY = ("parallel", "passes", "planning", "sharding", "testing", "trajectory")
EXTRAS = ("flax", "matplotlib", "msgspec", "orbax", "safetensors", "torch", "transformers")
GIVEN = {"learning_rate": 1e-2, "eps": 1e-2, "key": 0}
# Layers by number, for optimizers that take one at a time.
PARAMS = {"layers": {"0": {"w": np.ones((4, 3), np.float32)}, "1": {"w": np.ones(5, np.float32)}}}


def named_optimizers() -> dict[str, Callable[..., Any]]:
    """Every public function of zojax.optimizers that takes a learning rate."""
    functions = vars(zojax.optimizers).items()
    public = {name: value for name, value in functions if inspect.isfunction(value)}
    return {
        name: function
        for name, function in public.items()
        if {"learning_rate", "key"} <= {*inspect.signature(function).parameters}
    }


def loss(params: Any) -> jax.Array:
    """A quadratic."""
    return sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)), jnp.float32(0.0))


def take_a_step(make: Callable[..., Any]) -> None:
    """Take a step of an optimizer, which must move the parameters and keep them finite."""
    taken = inspect.signature(make).parameters
    tx = make(**{name: value for name, value in GIVEN.items() if name in taken})
    params = jax.tree.map(jnp.asarray, PARAMS)

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        updates, state = tx.update(None, state, params, value_fn=loss)
        return optax.apply_updates(params, updates), state

    after, state = step(params, tx.init(params))
    # In a subspace, whose coordinates are not yet folded, they are these and the coordinates.
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(zojax.folded(after, state))]
    if not all(np.isfinite(leaf).all() for leaf in leaves):
        raise AssertionError("the parameters are no longer finite")
    if all(np.array_equal(*pair) for pair in zip(leaves, jax.tree.leaves(PARAMS), strict=True)):
        raise AssertionError("no parameter has moved")


def replay_a_log(steps: int = 3) -> None:
    """Write a log of some steps of mezo, read it, and make the parameters of it again."""
    tx = zojax.mezo(**GIVEN)
    params = jax.tree.map(jnp.asarray, PARAMS)
    trajectory = zojax.trajectory
    name = trajectory.fingerprint(params)

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        recorder = trajectory.Recorder()
        updates, state = tx.update(None, state, params, value_fn=loss, meter=recorder)
        return optax.apply_updates(params, updates), state, recorder.scalars

    after, state = params, tx.init(params)
    scalars = []
    for _ in range(steps):
        after, state, measured = step(after, state)
        scalars.append(np.asarray(measured))
    again, _ = trajectory.Replayer(tx).take(params, tx.init(params), np.stack(scalars))
    jax.tree.map(np.testing.assert_array_equal, again, after)
    if trajectory.fingerprint(after) == name:
        raise AssertionError("other parameters have the same fingerprint")


def main() -> None:
    """Check all of it, and say what was checked."""
    foreign = [package for package in EXTRAS if find_spec(package) is not None]
    if foreign:
        raise AssertionError(f"this environment is not bare: it has {', '.join(foreign)}")
    if missing := {"estimators", "optimizers", "rules", *LAZY} - {*CORE}:
        raise AssertionError(f"not a part of zojax: {', '.join(sorted(missing))}")
    if early := [package for package in LAZY if f"zojax.{package}" in sys.modules]:
        raise AssertionError(f"imported before they are used: {', '.join(early)}")
    for package in LAZY:
        getattr(zojax, package)  # as `import zojax` alone gives it
    for package in CORE:
        importlib.import_module(f"zojax.{package}")
    print(f"imported: zojax, {', '.join(CORE)}")
    optimizers = named_optimizers()
    for make in optimizers.values():
        take_a_step(make)
    print(f"one step of each: {', '.join(optimizers)}")
    replay_a_log()
    print("a run was replayed to the bit")


if __name__ == "__main__":
    main()
