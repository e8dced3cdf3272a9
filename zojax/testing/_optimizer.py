"""The promises of optimizers, and their checks."""

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from zojax.estimators import last_loss
from zojax.testing._problem import loss, parameters, step_with
from zojax.testing._promises import (
    Suite,
    require,
    require_equal,
    require_structure,
    run,
)

MakeOptimizer: TypeAlias = Callable[[], optax.GradientTransformation]
"""Builds the optimizer to check, a new one at each call."""


def check_optimizer(make: MakeOptimizer, promises: Iterable[str] | None = None) -> None:
    """Check that an optimizer keeps the promises that every optimizer of zojax keeps.

    The loss is half the squared norm of 41 parameters (:func:`parameters`, :func:`loss`); choose a
    learning rate at which 60 steps lower it.

    Args:
      make: Builds the optimizer; a function without arguments.
      promises: Some of :data:`OPTIMIZER_PROMISES`; None checks all of them.

    Cost: seconds, for compiling a dozen small programs.

    Raises:
      BrokenPromiseError: An AssertionError that names the first broken promise, and how it fails.
      ValueError: ``promises`` contains an unknown promise.

    Examples:
      >>> import optax, zojax, zojax.testing
      >>> make = lambda: zojax.chain(zojax.spsa(1e-2, key=0), optax.lion(1e-2))
      >>> zojax.testing.check_optimizer(make, ["compile once", "lower the loss"])
    """
    run("check_optimizer", _SUITE, make, promises)


def _keeps_structure(make: MakeOptimizer) -> None:
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        tx = make()
        params = parameters(dtype)
        before = params, jax.eval_shape(tx.init, params)
        after = jax.eval_shape(step_with(tx), *before)
        require_structure(before, after, "after a step")


def _compiles_once(make: MakeOptimizer) -> None:
    for dtype in (jnp.float32, jnp.bfloat16):
        traces = _traces(make(), parameters(dtype))
        require(traces == 1, f"3 equal steps in {jnp.dtype(dtype)} compiled {traces} times.")


def _traces(tx: optax.GradientTransformation, params: Any) -> int:
    """Count how often the step is traced in 3 steps."""
    traces = 0

    def step(params: Any, state: Any) -> Any:
        nonlocal traces
        traces += 1
        return step_with(tx)(params, state)

    state = tx.init(params)
    jitted = jax.jit(step, donate_argnums=(0, 1))
    for _ in range(3):
        params, state = jitted(params, state)
    return traces


def _counts(make: MakeOptimizer) -> None:
    tx = make()
    params = parameters()
    state = tx.init(params)
    step = jax.jit(step_with(tx))
    for _ in range(3):
        params, state = step(params, state)
    counts = [int(count) for _, count in optax.tree_utils.tree_get_all_with_path(state, "count")]
    require(bool(counts), "No field of its state is called count.")
    require(set(counts) == {3}, f"After 3 steps its counts are {counts}.")


def _tells_the_loss(make: MakeOptimizer) -> None:
    tx = make()
    params = parameters()
    state = tx.init(params)
    first = last_loss(state)
    require(bool(first == jnp.inf), f"Before the first step value is {first}, not inf.")
    _, state = jax.jit(step_with(tx))(params, state)
    value = last_loss(state)
    require(value.dtype == jnp.float32, f"value is {value.dtype}, not float32.")
    # The value is a mean of losses at perturbed parameters, so it only approximates the loss.
    near = abs(float(value) / float(loss(params)) - 1.0) < 0.05
    require(near, f"value is {value} where the loss is {loss(params)}.")


def _lowers_the_loss(make: MakeOptimizer) -> None:
    tx = make()
    params = parameters()
    before = loss(params)
    state = tx.init(params)
    step = jax.jit(step_with(tx))
    for _ in range(60):
        params, state = step(params, state)
    after = loss(params)
    require(bool(after < before), f"60 steps took the loss from {before} to {after}.")


def _initialises_on_shapes(make: MakeOptimizer) -> None:
    tx = make()
    params = parameters(jnp.bfloat16)
    require_structure(tx.init(params), jax.eval_shape(tx.init, params), "from init on shapes alone")


def _ignores(make: MakeOptimizer) -> None:
    tx = optax.with_extra_args_support(make())
    params = parameters()
    state = tx.init(params)
    junk = {"value": 1.0, "grad": None, "junk": "junk"}
    none: Any = None
    plain, _ = tx.update(none, state, params, value_fn=loss)
    other, _ = tx.update(jax.tree.map(jnp.ones_like, params), state, params, value_fn=loss, **junk)
    require_equal(plain, other, "Other updates, value, grad and junk have changed what it returns.")


def _runs_sharded(make: MakeOptimizer) -> None:
    count = math.gcd(8, jax.device_count())
    mesh = jax.make_mesh((count,), ("x",), (AxisType.Explicit,), devices=jax.devices()[:count])
    with jax.set_mesh(mesh):
        params = parameters()
        tx = make()
        alone, _ = jax.jit(step_with(tx))(params, tx.init(params))
        params["matrix"] = jax.device_put(
            params["matrix"], NamedSharding(mesh, PartitionSpec("x", None))
        )
        stepped, state = jax.jit(step_with(tx))(params, tx.init(params))
    for path, leaf in jax.tree_util.tree_leaves_with_path((stepped, state)):
        sharded = leaf.shape != (8, 4) or leaf.sharding.spec[0] == "x"
        require(sharded, f"{jax.tree_util.keystr(path)} is not sharded as its parameter is.")
    for path, leaf in jax.tree_util.tree_leaves_with_path(stepped):
        other = dict(jax.tree_util.tree_leaves_with_path(alone))[path]
        near = np.allclose(leaf, other, rtol=2e-5, atol=2e-6)
        require(near, f"{jax.tree_util.keystr(path)} is not what it is on one device.")


def _replays(make: MakeOptimizer) -> None:
    tx = make()
    params = parameters()
    step = jax.jit(step_with(tx))
    state = tx.init(params)
    for _ in range(3):
        params, state = step(params, state)
    once, _ = step(params, state)
    again, _ = step(params, jax.tree.map(jnp.copy, state))
    require_equal(once, again, "The same program gave two results for one state.")
    # A new trace reveals state that the optimizer keeps in Python.
    retraced, _ = jax.jit(step_with(tx))(params, state)
    require_equal(once, retraced, "Traced a second time, the step from one state is another.")


def _rests(make: MakeOptimizer) -> None:
    tx = make()
    params = parameters()
    state = tx.init(params)

    def scaled(params: Any, state: Any, scale: Any) -> tuple[Any, Any]:
        return step_with(tx, lambda p: scale * loss(p))(params, state)

    step = jax.jit(scaled)
    good, bad = jnp.float32(1.0), jnp.float32(jnp.nan)
    for _ in range(3):  # moments are not 0 then
        params, state = step(params, state, good)
    rested, state = step(params, state, bad)
    require_equal(
        rested,
        params,
        "A step whose losses are NaN has moved the parameters. Make the chain by zojax.chain, "
        "whose links rest in such a step.",
    )
    moved, _ = step(rested, state, good)
    finite = jax.tree.map(lambda x: bool(jnp.isfinite(x).all()), moved)
    require(jax.tree.all(finite), "After a step whose losses are NaN, the next step is not finite.")
    stayed = jax.tree.map(lambda before, after: bool((before == after).all()), rested, moved)
    require(
        not jax.tree.all(stayed), "After a step whose losses are NaN, the next step moved nothing."
    )


def _leaves_parameters(make: MakeOptimizer) -> None:
    tx = optax.with_extra_args_support(make())
    params = parameters()
    state = tx.init(params)
    none: Any = None
    tx.update(none, state, params, value_fn=loss)
    deleted = [leaf.is_deleted() for leaf in jax.tree.leaves((params, state))]
    require(not any(deleted), "It has donated buffers that its caller still uses.")


def _leaves_integers(make: MakeOptimizer) -> None:
    tx = make()
    floats = parameters()
    params = {**floats, "steps": jnp.arange(3)}
    # Standard promotion, because optax multiplies the updates of integers, which are 0, by a float.
    with jax.numpy_dtype_promotion("standard"):
        stepped, _ = jax.jit(step_with(tx, lambda p: loss({**p, "steps": jnp.zeros(())})))(
            params, tx.init(params)
        )
        alone, _ = jax.jit(step_with(tx))(floats, tx.init(floats))
    require(stepped["steps"].dtype == params["steps"].dtype, "An integer parameter became a float.")
    require_equal(stepped["steps"], params["steps"], "The value of an integer parameter changed.")
    # Directions that depend on all parameters, such as the sphere, must ignore integer parameters.
    require_equal(stepped["matrix"], alone["matrix"], "An integer parameter changed other steps.")


_SUITE: Suite = {
    "keep dtypes and structure": _keeps_structure,
    "compile once": _compiles_once,
    "count its steps": _counts,
    "tell the loss": _tells_the_loss,
    "lower the loss": _lowers_the_loss,
    "initialise on shapes alone": _initialises_on_shapes,
    "ignore updates and unknown arguments": _ignores,
    "run on sharded parameters": _runs_sharded,
    "replay a step from its state": _replays,
    "move nothing where the loss is NaN": _rests,
    "leave the parameters to its caller": _leaves_parameters,
    "leave integers": _leaves_integers,
}
OPTIMIZER_PROMISES = tuple(_SUITE)
"""The promises that :func:`check_optimizer` checks, each worded to follow "it must"."""
