"""Queries and signs shared out over devices of one process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from sets import slow_except

import zojax
from zojax import parallel
from zojax.planning import Collective, cost

Tx = optax.GradientTransformationExtraArgs

OPTIMIZERS: dict[str, Callable[[], Tx]] = {
    # 6 points, which 4 devices do not divide.
    "mezo": lambda: zojax.mezo(1e-2, eps=1e-2, key=0, num_queries=3),
    "forward": lambda: zojax.mezo(1e-2, eps=1e-2, key=0, num_queries=4, difference="forward"),
    "batched": lambda: zojax.mezo(
        1e-2, eps=1e-2, key=0, num_queries=4, direction=zojax.LowRank(2), batched=True
    ),
    "zo_adamu": lambda: zojax.zo_adamu(1e-2, eps=1e-2, key=0, phases=(2, 6, 8)),
    "conservative": lambda: zojax.zo_sgd_conservative(1e-2, eps=1e-2, key=0, num_queries=2),
    "blockwise": lambda: zojax.zo_sgd_blockwise(1e-2, eps=1e-2, key=0, blocks=lambda path, _: path),
    "forward_gradient": lambda: zojax.forward_gradient_sgd(1e-2, key=0, num_queries=4),
    "shaped": lambda: optax.chain(
        zojax.spsa(1e-2, key=0, direction=zojax.Shaped(optax.scale_by_adam())),
        optax.scale(-1e-2),
    ),
    "coordinatewise": lambda: optax.chain(zojax.coordinatewise(1e-2), optax.scale(-1e-2)),
}


def parameters() -> dict[str, jax.Array]:
    keys = jax.random.split(jax.random.key(7), 3)
    shapes = {"up": (8, 16), "bias": (16,), "down": (16, 4)}
    return {n: jax.random.normal(k, s) for k, (n, s) in zip(keys, shapes.items(), strict=True)}


def batch() -> np.ndarray:
    return np.asarray(jax.random.normal(jax.random.key(8), (8, 8)))


def loss(params: dict[str, jax.Array], inputs: jax.Array) -> jax.Array:
    hidden = jnp.tanh(inputs @ params["up"] + params["bias"][None])
    return jnp.mean(jnp.sum(jnp.square(hidden @ params["down"]), axis=1))


def step_of(tx: Tx) -> Callable[..., Any]:
    def step(params: Any, state: Any, inputs: Any, query_axis: str | None = None) -> Any:
        none: Any = None
        updates, state = tx.update(
            none, state, params, value_fn=lambda p: loss(p, inputs), query_axis=query_axis
        )
        return optax.apply_updates(params, updates), state

    return step


def mesh_of(*axes: tuple[str, int], kind: AxisType = AxisType.Auto) -> Mesh:
    names, sizes = zip(*axes, strict=True)
    count = int(np.prod(sizes))
    return jax.make_mesh(sizes, names, (kind,) * len(axes), devices=jax.devices()[:count])


def compiled(step: Callable[..., Any], *args: Any) -> Any:
    options = zojax.compiler_options()
    return jax.jit(step, compiler_options=options).lower(*args).compile()


def run(step: Callable[..., Any], *args: Any, steps: int = 3) -> tuple[Any, Any]:
    program = compiled(step, *args)
    params, state, inputs = args
    for _ in range(steps):
        params, state = program(params, state, inputs)
    return params, optax.tree_utils.tree_get(state, "value")


@pytest.mark.parametrize("name", slow_except(list(OPTIMIZERS), "mezo", "zo_adamu"))
def test_devices_that_share_queries_come_to_the_parameters_of_one(name: str):
    tx = OPTIMIZERS[name]()
    params = parameters()
    args = params, tx.init(params), jnp.asarray(batch())
    expected, value = run(step_of(tx), *args)
    mesh = mesh_of(("query", 4))
    on_mesh = [jax.device_put(x, NamedSharding(mesh, P())) for x in args]
    got, shared_value = run(parallel.query_parallel(step_of(tx), mesh), *on_mesh)
    # A loss that is one of many in a product, or a derivative, is compiled to other code.
    same = name not in ("batched", "forward_gradient")
    check = (
        np.testing.assert_array_equal if same else partial(np.testing.assert_allclose, rtol=1e-4)
    )
    check(shared_value, value)
    jax.tree.map(check, got, expected)
    # All replicas are one.
    for leaf in jax.tree.leaves(got):
        for shard in leaf.addressable_shards:
            np.testing.assert_array_equal(shard.data, leaf)


@pytest.mark.quick
def test_scalars_alone_cross_the_wire():
    tx = zojax.mezo(1e-2, eps=1e-2, key=0, num_queries=5)
    mesh = mesh_of(("query", 4))
    params = parameters()
    args = parallel.replicate((params, batch()), mesh)
    state = jax.device_put(tx.init(params), NamedSharding(mesh, P()))
    step = parallel.query_parallel(step_of(tx), mesh)
    program = compiled(step, args[0], state, args[1])
    # 10 losses: 3 turns of 4 devices.
    assert cost(program).collectives == {"all-gather": Collective(runs=1, bytes=4 * 12)}


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_queries_examples_and_parameters_are_shared_at_once(kind: AxisType):
    mesh = mesh_of(("query", 2), ("data", 2), ("model", 2), kind=kind)
    tx = zojax.mezo(1e-2, eps=1e-2, key=0, num_queries=2)
    params = parameters()
    expected, value = run(step_of(tx), params, tx.init(params), jnp.asarray(batch()), steps=1)
    with jax.set_mesh(mesh):
        placed = parallel.replicate(params, mesh)
        cut = NamedSharding(mesh, P(None, "model"))
        placed["down"] = jax.device_put(params["down"], cut)
        state = jax.device_put(tx.init(params), NamedSharding(mesh, P()))
        inputs = parallel.shard_batch(batch(), mesh)
        step = parallel.query_parallel(step_of(tx), mesh)
        got, shared_value = run(step, placed, state, inputs, steps=1)
    assert got["down"].sharding == cut
    np.testing.assert_allclose(shared_value, value, rtol=1e-5)
    # A slope is rounded as a loss of 40 is, over eps: its steps differ by up to 1e-5.
    for name, leaf in got.items():
        np.testing.assert_allclose(leaf, expected[name], rtol=0, atol=1e-4)
        assert np.abs(expected[name] - params[name]).max() > 1e-2


def test_more_devices_than_points_take_part_in_the_update():
    mesh = mesh_of(("query", 8))
    tx = zojax.mezo(1e-2, eps=1e-2, key=0)
    params = parameters()
    args = params, tx.init(params), jnp.asarray(batch())
    expected, _ = run(step_of(tx), *args)
    on_mesh = [jax.device_put(x, NamedSharding(mesh, P())) for x in args]
    got, _ = run(parallel.query_parallel(step_of(tx), mesh), *on_mesh)
    jax.tree.map(np.testing.assert_array_equal, got, expected)


@pytest.mark.quick
def test_refusals():
    mesh = mesh_of(("data", 2))
    with pytest.raises(ValueError, match=r"axis must be one of the mesh's, \('data',\), got 'q'"):
        parallel.query_parallel(lambda: None, mesh, "q")
    with pytest.raises(TypeError, match="step must take a keyword query_axis"):
        parallel.query_parallel(lambda: None, mesh, "data")
    tx = zojax.mezo(1e-2, eps=1e-2, key=0, evaluation="in_place")
    params = parameters()
    step = parallel.query_parallel(step_of(tx), mesh, "data")
    with pytest.raises(ValueError, match='evaluation="in_place" calls value_fn as plain Python'):
        jax.jit(step)(params, tx.init(params), batch())
