"""OPT-1.3B over eight A100s that are not there, and over eight CPU devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

import zojax
from zojax import planning
from zojax.lm import models

# Layers are alike: what two of them show holds for all.
LAYERS = 2


def workload(dtype):
    return models.workload("opt-1.3b", batch=8, length=64, dtype=dtype, layers=LAYERS)


@pytest.fixture(scope="module")
def work():
    return workload(jnp.bfloat16)


@pytest.mark.parametrize("platform", [pytest.param("a100-80gb", marks=pytest.mark.plan), "cpu"])
def test_a_tensor_parallel_step_communicates_what_its_forward_passes_do(platform, request):
    if platform == "cpu":  # it would compute bfloat16 in float32
        mesh, work = Mesh(np.array(jax.devices("cpu")[:8]), ("model",)), workload(jnp.float32)
    else:
        mesh, work = planning.mesh(model=8), request.getfixturevalue("work")
    forward = planning.cost(planning.compile_forward(mesh, work)).collectives
    tx = zojax.mezo(1e-6, eps=1e-3, key=0)
    step = planning.cost(planning.compile_step(mesh, work, tx)).collectives
    itemsize = jax.tree.leaves(work.params)[0].dtype.itemsize
    # Sums after attention and after the feed-forward of each layer, one of the embedding's rows,
    # and two of the loss over a vocabulary in parts. What has the hidden size is in the model's
    # dtype.
    assert {*forward} == {"all-reduce"}
    hidden, scalars = 8 * 64 * 2048 * itemsize, 8 * 63 * 4
    assert forward["all-reduce"].runs == 2 * LAYERS + 3
    assert forward["all-reduce"].bytes >= (2 * LAYERS + 1) * hidden
    assert forward["all-reduce"].bytes <= (2 * LAYERS + 1) * hidden + 6 * scalars
    assert {*step} == {"all-reduce"}
    assert step["all-reduce"] == planning.Collective(
        2 * forward["all-reduce"].runs, 2 * forward["all-reduce"].bytes
    )


@pytest.mark.plan
def test_a_fully_sharded_step_gathers_weights_and_no_noise(work):
    mesh = planning.mesh(fsdp=8)
    forward = planning.cost(planning.compile_forward(mesh, work)).collectives
    tx = zojax.mezo(1e-6, eps=1e-3, key=0)
    step = planning.cost(planning.compile_step(mesh, work, tx)).collectives
    assert forward["all-gather"].bytes > 0
    # The compiler joins neighbouring gathers, other ones in each program: their bytes count.
    bytes_of_step = {kind: found.bytes for kind, found in step.items()}
    assert bytes_of_step == {kind: 2 * found.bytes for kind, found in forward.items()}
