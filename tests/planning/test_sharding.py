"""Where parameters are cut."""

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import PartitionSpec as P

from zojax import planning
from zojax.coordinates import slash_paths
from zojax.lm import models
from zojax.planning import _sharding, _step


@pytest.mark.plan
def test_every_device_holds_its_share_of_parameters_and_moments(config):
    target = planning.topology(count=4)
    work = models.workload(config, batch=2, length=16)
    params, state = _step.abstract_state(target, work, optax.adam(1e-3))
    mine = _sharding.bytes_on_each(params)
    replicated = {
        path: leaf
        for path, leaf in zip(slash_paths(params), jax.tree.leaves(params), strict=True)
        if leaf.sharding.is_fully_replicated
    }
    assert {path.split("/")[-2] for path in replicated} == {
        *("attn_norm", "mlp_norm", "norm", "o_proj", "down_proj"),  # and biases of these two
        "embed_positions",
    }
    whole = sum(4 * leaf.size for leaf in replicated.values())
    assert mine == (work.nbytes - whole) // 4 + whole
    assert _sharding.bytes_on_each(state) == 2 * mine + 4  # moments, and the count of steps
    moment = state[0].mu["layers"]["mlp"]["down_proj"]["kernel"]
    assert moment.sharding.spec == P(None, "model")


@pytest.mark.plan
@pytest.mark.usefixtures("standard_promotion")
def test_a_sharded_step_works_in_place(config):
    target = planning.topology(count=4)
    work = models.workload(config, batch=2, length=16, dtype=jnp.float32, layers=1)
    compiled = planning.compile_first_order(target, work, optax.adam(1e-3))
    params, state = _step.abstract_state(target, work, optax.adam(1e-3))
    found = planning.memory(compiled)
    assert found.alias >= _sharding.bytes_on_each(params) + _sharding.bytes_on_each(state) - 4
    assert planning.cost(compiled).collectives


@pytest.mark.plan
def test_a_mesh_of_several_axes_cuts_parameters_and_batch(config):
    target = planning.mesh(fsdp=2, model=4)
    work = models.workload(config, batch=4, length=16)
    params, tokens = _sharding.place(work.params, work.batch, target)
    kernel = params["layers"]["mlp"]["down_proj"]["kernel"]
    assert kernel.sharding.spec == P(None, "model")  # a layer has 16,384 elements: too few
    assert tokens.sharding.spec == P(("fsdp",))
    compiled = planning.compile_forward(target, work)
    assert planning.cost(compiled).collectives


@pytest.mark.plan
def test_a_mesh_must_fit_the_batch_and_have_known_axes(config):
    work = models.workload(config, batch=3, length=16)
    with pytest.raises(ValueError, match="batch must be a multiple of 2, the devices"):
        planning.compile_forward(planning.mesh(data=2), work)
    with pytest.raises(ValueError, match="mesh must have axes of data, fsdp, model, got 'rows'"):
        planning.compile_forward(planning.mesh(rows=2), work)
    with pytest.raises(ValueError, match="the size of axis data must be >= 1, got 0"):
        planning.mesh(data=0)
