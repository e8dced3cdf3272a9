"""A step over several devices: what it computes, draws and communicates."""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from sharded import mesh_of_eight

import zojax
from zojax import planning, sharding
from zojax.planning import _hlo

EPS, RATE, STEPS = 1e-2, 1e-2, 2
OPTIMIZERS = {
    "mezo": lambda: zojax.mezo(RATE, eps=EPS, key=0),
    "zo_adamu": lambda: zojax.zo_adamu(RATE, eps=EPS, key=0, phases=(1, 5, 9)),
}
ODD = [
    ("*embed_tokens/*", P("model", "fsdp")),
    ("*q_proj/kernel", P(None, "fsdp", "model")),
    ("*k_proj/kernel", P(None, ("fsdp", "model"))),
    ("*v_proj/kernel", P(None, None, "fsdp")),
    ("*v_proj/bias", P(None, "model")),
    ("*o_proj/kernel", P(None, "model")),
    ("*up_proj/kernel", P(None, "fsdp")),
    ("*down_proj/kernel", P(None, None, "fsdp")),
    ("*_norm/scale", P(None, "fsdp")),
]


def laid_out(problem, kind):
    """Parameters and tokens over eight devices."""
    explicit = kind == "tensor-parallel, explicit"
    if kind.startswith("tensor-parallel"):
        mesh = mesh_of_eight("model")
        if explicit:
            mesh = jax.make_mesh((8,), ("model",), axis_types=(AxisType.Explicit,))
        layout, rows = sharding.tensor_parallel(problem.params, mesh), P()
        if "positions" in kind:
            # Then the residual stream is cut, too, and gathered once for queries, keys and values.
            table = [("*embed_positions/embedding", 1), *sharding.TENSOR_PARALLEL]
            layout = sharding.tensor_parallel(problem.params, mesh, table=table)
    elif kind == "fully sharded":
        mesh = mesh_of_eight("data")
        layout, rows = sharding.fully_sharded(problem.params, mesh, min_size=2**10), P("data")
    elif kind == "replicated":
        mesh = mesh_of_eight("data")
        layout = jax.tree.map(lambda _: NamedSharding(mesh, P()), problem.params)
        rows = P("data")
    else:
        mesh = mesh_of_eight("fsdp", "model")
        layout, rows = sharding.by_pattern(problem.params, mesh, ODD), P("fsdp")
    tokens = jax.device_put(problem.tokens, NamedSharding(mesh, rows))
    return mesh, sharding.shard(problem.params, layout), tokens


def jitted(problem, tx, loss=None):
    loss = loss or problem.loss

    def step(params, state, tokens):
        updates, state = tx.update(None, state, params, value_fn=lambda p: loss(p, tokens))
        return optax.apply_updates(params, updates), state

    return jax.jit(step, compiler_options=zojax.compiler_options())


def run(step, tx, params, tokens):
    state, losses = jax.jit(tx.init)(params), []
    for _ in range(STEPS):
        params, state = step(params, state, tokens)
        losses.append(float(optax.tree_utils.tree_get(state, "value")))
    return params, losses


@pytest.fixture(scope="module")
def alone(problem):
    """What one device computes, by optimizer."""
    found = {}
    for name, make in OPTIMIZERS.items():
        tx = make()
        found[name] = run(jitted(problem, tx), tx, problem.params, problem.tokens)
    return found


def counts(program):
    return planning.cost(program).collectives


def sizes(program):
    """Every dtype and shape that some operation of a program has, fused or not."""
    found = _hlo.parse(program.as_text())
    return {
        (dtype, tuple(sorted(shape)))
        for instructions in found.computations.values()
        for instruction in instructions
        for dtype, shape in _hlo.shapes(instruction.type)
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("tensor-parallel", "mezo"),
        ("tensor-parallel", "zo_adamu"),
        pytest.param("tensor-parallel, positions", "mezo", marks=pytest.mark.slow),
        pytest.param("tensor-parallel, explicit", "mezo", marks=pytest.mark.slow),
        pytest.param("fully sharded", "mezo", marks=pytest.mark.slow),
        pytest.param("fully sharded", "zo_adamu", marks=pytest.mark.slow),
        pytest.param("replicated", "mezo", marks=pytest.mark.slow),
        pytest.param("odd", "mezo", marks=pytest.mark.slow),
    ],
)
def test_a_sharded_step(problem, alone, kind, name):
    mesh, params, tokens = laid_out(problem, kind)
    tx, loss = OPTIMIZERS[name](), problem.loss
    if "explicit" in kind:
        # The model is written for a partitioner that finds its own way.
        loss = jax.sharding.auto_axes(loss, out_sharding=P())
        jax.set_mesh(mesh)
    try:
        step = jitted(problem, tx, loss)
        moved, losses = run(step, tx, params, tokens)
        forward = jax.jit(loss).lower(params, tokens).compile()
        program = step.lower(params, jax.jit(tx.init)(params), tokens).compile()
    finally:
        if "explicit" in kind:
            jax.set_mesh(None)

    # The step on one device, to rounding: a slope is off by some ulp of the loss over 2 eps.
    expected, expected_losses = alone[name]
    np.testing.assert_allclose(losses, expected_losses, rtol=2e-6)
    slope_error = 8 * np.spacing(np.float32(losses[0])) / (2 * EPS)
    for one, other in zip(jax.tree.leaves(moved), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=STEPS * RATE * 5.5 * slope_error)

    # Parameters stay where they are, so that the next step is the same program.
    assert step._cache_size() == 1
    for one, other in zip(jax.tree.leaves(params), jax.tree.leaves(moved), strict=True):
        assert one.sharding.is_equivalent_to(other.sharding, one.ndim)

    # What is drawn is each device's part: nothing has the size of a whole leaf that is cut, but
    # for weights that the forward pass itself gathers.
    cut = {
        tuple(sorted(leaf.shape))
        for leaf in jax.tree.leaves(params)
        if sum(size > 1 for size in leaf.shape) > 1  # a vector's noise takes no memory
        and leaf.sharding.shard_shape(leaf.shape) != leaf.shape
    }
    new = {(dtype, shape) for dtype, shape in sizes(program) - sizes(forward) if shape in cut}
    assert not new, new

    # It communicates what its two forward passes do, and less where both need the same. Of a layout
    # that no model is made for, the partitioner makes something else in every program.
    if kind == "odd":
        return
    passes = counts(forward)
    assert passes
    for collective, found in counts(program).items():
        assert found.runs <= 2 * passes[collective].runs, (collective, found, passes)
        assert found.bytes <= 2 * passes[collective].bytes, (collective, found, passes)
