"""OPT-1.3B over eight A100s that are not there."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

import zojax
from zojax import planning

# Layers are alike: what two of them show holds for all.
LAYERS = 2


@pytest.fixture(scope="module")
def work():
    pytest.importorskip("jax_plugins.xla_cuda12", reason='needs pip install "zojax[plan]"')
    return planning.workload("opt-1.3b", batch=8, length=64, dtype=jnp.bfloat16, layers=LAYERS)


def test_a_tensor_parallel_step_communicates_what_its_forward_passes_do(work):
    mesh = planning.mesh(model=8)
    forward = planning.cost(planning.compile_forward(mesh, work)).collectives
    tx = zojax.mezo(1e-6, 1e-3, 0)
    step = planning.cost(planning.compile_step(mesh, work, tx)).collectives
    # Sums after attention and after the feed-forward of each layer, one of the embedding's rows,
    # and two of the loss over a vocabulary in parts: in bfloat16 what has the hidden size.
    assert {*forward} == {"all-reduce"}
    hidden, scalars = 8 * 64 * 2048 * 2, 8 * 63 * 4
    assert forward["all-reduce"].runs == 2 * LAYERS + 3
    assert forward["all-reduce"].bytes >= (2 * LAYERS + 1) * hidden
    assert forward["all-reduce"].bytes <= (2 * LAYERS + 1) * hidden + 6 * scalars
    assert step == {
        "all-reduce": planning.Collective(
            2 * forward["all-reduce"].runs, 2 * forward["all-reduce"].bytes
        )
    }


def test_a_fully_sharded_step_gathers_weights_and_no_noise(work):
    mesh = planning.mesh(fsdp=8)
    forward = planning.cost(planning.compile_forward(mesh, work)).collectives
    tx = zojax.mezo(1e-6, 1e-3, 0)
    step = planning.cost(planning.compile_step(mesh, work, tx)).collectives
    assert forward["all-gather"].bytes > 0
    # The compiler joins neighbouring gathers, other ones in each program: their bytes count.
    bytes_of_step = {kind: found.bytes for kind, found in step.items()}
    assert bytes_of_step == {kind: 2 * found.bytes for kind, found in forward.items()}
