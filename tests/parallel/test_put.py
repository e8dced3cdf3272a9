"""Batches and parameters on a mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import zojax
from zojax import parallel
from zojax.lm.models import load
from zojax.lm.tasks import Example, PromptSet, load_task, objective, tokenize
from zojax.planning import Collective, cost


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return jax.make_mesh((4,), ("data",), (AxisType.Auto,), devices=jax.devices()[:4])


@pytest.mark.quick
def test_each_device_gets_its_rows(mesh: Mesh):
    batch = {"a": np.arange(16).reshape(8, 2), "b": np.arange(4.0)}
    placed = parallel.shard_batch(batch, mesh)
    for shard, rows in zip(
        placed["a"].addressable_shards, batch["a"].reshape(4, 2, 2), strict=True
    ):
        np.testing.assert_array_equal(shard.data, rows)
    np.testing.assert_array_equal(placed["b"], batch["b"])
    everywhere = parallel.replicate({**batch, "key": jax.random.key(3)}, mesh)
    assert everywhere["key"] == jax.random.key(3)
    assert len(everywhere["key"].sharding.device_set) == 4
    for shard in everywhere["a"].addressable_shards:
        np.testing.assert_array_equal(shard.data, batch["a"])


def test_rows_that_the_devices_do_not_divide_are_refused(mesh: Mesh):
    with pytest.raises(ValueError, match=r"4 devices along 'data' must divide .* got 6 in \['x'\]"):
        parallel.shard_batch({"x": np.zeros((6, 2))}, mesh)


@pytest.mark.slow
@pytest.mark.usefixtures("standard_promotion")
def test_the_loss_is_the_mean_over_the_batch_whatever_fills_it_up(tiny_opt: Path, mesh: Mesh):
    model = load(tiny_opt)
    task = load_task("rotten-tomatoes")
    texts = ["a film", "a story of a film", "great", "It was", "a", "film"]
    examples = [Example({"text": text}, label=i % 2) for i, text in enumerate(texts)]
    tokens = tokenize(task, model.tokenizer, 24, kind=model.kind)
    prompts = PromptSet.of(examples, tokens)
    batch = prompts.batch(np.arange(6), 24, 6)
    padded = parallel.pad_batch(batch, 4)
    assert len(padded.weights) == 8
    np.testing.assert_array_equal(padded.weights, [1, 1, 1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(padded.input_ids[:6], batch.input_ids)
    shapes = parallel.pad_batch(prompts.abstract_batch(24, 6), 4)
    assert [(x.shape, x.dtype) for x in shapes] == [(x.shape, x.dtype) for x in padded]

    scored = objective(model, tokens)
    everywhere = NamedSharding(mesh, P())
    program = (
        jax.jit(scored.loss, out_shardings=everywhere, compiler_options=zojax.compiler_options())
        .lower(parallel.replicate(model.params, mesh), parallel.shard_batch(padded, mesh))
        .compile()
    )
    # Two sums at once, of the losses and of the weights.
    assert cost(program).collectives == {"all-reduce": Collective(runs=1, bytes=8)}
    got = program(parallel.replicate(model.params, mesh), parallel.shard_batch(padded, mesh))
    np.testing.assert_allclose(got, scored.loss(model.params, batch), rtol=1e-6)


def test_a_step_on_a_sharded_batch_reduces_its_losses_and_nothing_else(mesh: Mesh):
    params: dict[str, Any] = {"w": jnp.ones((8, 8)), "b": jnp.ones(8)}
    tx = zojax.mezo(1e-2, eps=1e-3, key=0, num_queries=3)

    def step(params: Any, state: Any, inputs: Any) -> Any:
        none: Any = None
        return tx.update(
            none,
            state,
            params,
            value_fn=lambda p: jnp.mean(jnp.square(inputs @ p["w"] + p["b"][None])),
        )

    everywhere = NamedSharding(mesh, P())
    state = jax.jit(tx.init, out_shardings=everywhere)(params)
    inputs = parallel.shard_batch(np.ones((8, 8), np.float32), mesh)
    program = jax.jit(step, compiler_options=zojax.compiler_options())
    compiled = program.lower(parallel.replicate(params, mesh), state, inputs).compile()
    assert cost(compiled).collectives == {"all-reduce": Collective(runs=6, bytes=4 * 6)}
