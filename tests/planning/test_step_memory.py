"""A training step needs the memory of inference: the promise, read from the compiled programs."""

from __future__ import annotations

from functools import cache

import device_free
import jax
import jax.numpy as jnp
import optax
import pytest

import zojax
from zojax import planning

# Beyond the forward pass: one perturbed leaf at a time, and 2% of the parameters for the rest.
SLACK = 0.02

pytestmark = pytest.mark.usefixtures("standard_promotion")


@cache
def forward(target: str, size: str) -> tuple[device_free.Workload, planning.Memory]:
    """A model, and the memory of its forward pass on ``target``."""
    workload = device_free.opt(size, jnp.float32, batch=4, length=64)
    return workload, device_free.forward_memory(workload, target)


@pytest.fixture(params=["cpu", "a100-80gb"])
def target(request) -> str:
    if request.param != "cpu":
        pytest.importorskip("jax_plugins.xla_cuda12", reason='needs pip install "zojax[plan]"')
    return request.param


def excess(
    target: str, size: str, optimizer: optax.GradientTransformationExtraArgs, buffers: int
) -> float:
    """Bytes over what is promised, as a fraction of the parameters; not positive where it holds."""
    workload, inference = forward(target, size)
    step = device_free.step_memory(workload, target, optimizer)
    promised = inference.device + workload.largest_leaf + buffers * workload.nbytes
    return (step.device - promised) / workload.nbytes


def test_a_step_of_mezo_needs_the_memory_of_inference(target):
    tx = zojax.mezo(learning_rate=1e-6, eps=1e-3, key=jax.random.key(0))
    assert excess(target, "125m", tx, buffers=0) <= SLACK


def test_zo_adamu_adds_one_buffer_for_its_momentum(target):
    tx = zojax.zo_adamu(learning_rate=1e-4, eps=1e-3, key=jax.random.key(0), store_nu=False)
    assert excess(target, "125m", tx, buffers=1) <= SLACK


def test_a_perturbed_copy_would_be_noticed():
    # The bound can fail: plain copies of a small model are far beyond it.
    workload = device_free.opt("tiny", jnp.float32, batch=2, length=16)
    inference = device_free.forward_memory(workload, "cpu")
    tx = zojax.mezo(learning_rate=1e-6, eps=1e-3, key=0, evaluation="copy")
    step = device_free.step_memory(workload, "cpu", tx)
    assert step.device > inference.device + workload.largest_leaf + SLACK * workload.nbytes
