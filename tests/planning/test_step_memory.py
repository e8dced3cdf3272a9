"""A training step needs the memory of inference: the promise, read from the compiled programs."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

import zojax
from zojax import planning
from zojax.lm import models

# What a step may need beyond its forward pass, as a fraction of that.
SLACK = 0.02

pytestmark = pytest.mark.usefixtures("standard_promotion")


@cache
def forward(target: str) -> tuple[planning.Workload, planning.Memory]:
    """A model, and the memory of its forward pass on ``target``."""
    if target == "cpu":
        workload = models.workload("opt-125m", batch=4, length=64)
    else:
        workload = models.workload("opt-1.3b", batch=8, length=256, dtype=jnp.bfloat16)
    return workload, planning.memory(planning.compile_forward(target, workload))


@pytest.fixture(params=["cpu", pytest.param("a100-80gb", marks=pytest.mark.plan)])
def target(request) -> str:
    return request.param


def excess(
    target: str, optimizer: optax.GradientTransformationExtraArgs, buffers: int
) -> tuple[int, float]:
    """Bytes over inference and ``buffers`` times the parameters, and how many are allowed."""
    workload, inference = forward(target)
    step = planning.memory(planning.compile_step(target, workload, optimizer))
    return step.device - inference.device - buffers * workload.nbytes, SLACK * inference.device


def test_a_step_of_mezo_needs_the_memory_of_inference(target):
    tx = zojax.mezo(learning_rate=1e-6, eps=1e-3, key=jax.random.key(0))
    more, allowed = excess(target, tx, buffers=0)
    assert more <= allowed


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("cpu", marks=pytest.mark.slow),
        pytest.param("a100-80gb", marks=pytest.mark.plan),
    ],
    indirect=True,
)
def test_zo_adamu_adds_one_buffer_for_its_momentum(target):
    tx = zojax.zo_adamu(learning_rate=1e-4, eps=1e-3, key=jax.random.key(0))
    more, allowed = excess(target, tx, buffers=1)
    assert more <= allowed


@pytest.mark.parametrize("in_update", [True, False])
def test_a_step_of_zo_adamu_in_a_subspace_needs_the_memory_of_inference(target, in_update):
    """Its momentum is r² numbers a matrix: the whole model, of rank 16."""
    inner = zojax.zo_adamu(learning_rate=1e-6, eps=1e-3, key=0)
    tx = zojax.subspace(inner, rank=16, refresh=50, key=0, in_update=in_update)
    more, allowed = excess(target, tx, buffers=0)
    assert more <= allowed


@pytest.mark.plan
def test_a_long_row_of_a_large_model_in_a_subspace():
    workload = models.workload("opt-13b", batch=1, length=2048, dtype=jnp.bfloat16, layers=2)
    whole = models.workload("opt-13b", batch=1, length=2048, dtype=jnp.bfloat16)
    inference = planning.memory(planning.compile_forward("a100-80gb", workload))
    inner = zojax.zo_adamu(learning_rate=1e-6, eps=1e-3, key=0)
    tx = zojax.subspace(inner, rank=16, refresh=50, key=0, in_update=False)
    step = planning.memory(
        planning.compile_step("a100-80gb", workload, tx, model_bytes=whole.nbytes)
    )
    # Of two layers; of all it is less, for what a step adds does not grow with them.
    assert step.device <= (1 + 1.5 * SLACK) * inference.device


@pytest.mark.quick
def test_a_perturbed_copy_would_be_noticed():
    # The bound can fail: plain copies are far beyond it.
    params = {"w": jax.ShapeDtypeStruct((1024, 1024), jnp.float32)}
    tokens = jax.ShapeDtypeStruct((4, 1024), jnp.int32)
    workload = planning.Workload(params, tokens, lambda p, x: jnp.sum(x.astype("float32") @ p["w"]))
    inference = planning.memory(planning.compile_forward("cpu", workload))
    tx = zojax.mezo(learning_rate=1e-6, eps=1e-3, key=0, evaluation="copy")
    step = planning.memory(planning.compile_step("cpu", workload, tx))
    assert step.device > (1 + 10 * SLACK) * inference.device


def products() -> planning.Workload:
    """A chain of eight products with matrices of 4 MiB."""

    def loss(params, tokens):
        x = tokens.astype(jnp.float32)
        for weight in params:
            x = jax.nn.relu(x @ weight)
        return x.sum()

    params = [jax.ShapeDtypeStruct((1024, 1024), jnp.float32) for _ in range(8)]
    return planning.Workload(params, jax.ShapeDtypeStruct((4, 1024), jnp.int32), loss)


def on_a100(name: str, optimizer: optax.GradientTransformationExtraArgs, buffers: float) -> Any:
    return pytest.param("a100-80gb", optimizer, buffers, id=name, marks=pytest.mark.plan)


@pytest.mark.parametrize(
    ("target", "optimizer", "buffers"),
    [
        # The step while it is tried; two moments and the direction; a momentum of half the width.
        on_a100("conservative", zojax.zo_sgd_conservative(1e-4, eps=1e-3, key=0), 1),
        on_a100(
            "shaped", zojax.spsa(1e-3, key=0, direction=zojax.Shaped(optax.scale_by_adam())), 3
        ),
        on_a100(
            "bfloat16 momentum",
            zojax.zo_adamu(1e-4, eps=1e-3, key=0, centre_dtype=jnp.bfloat16),
            0.5,
        ),
        pytest.param(
            "cpu",
            zojax.zo_adamu(1e-4, eps=1e-3, key=0, centre_dtype=jnp.bfloat16),
            0.5,
            id="bfloat16 momentum on cpu",
        ),
        pytest.param("cpu", zojax.zo_adam(1e-6, eps=1e-3, key=0), 2, id="adam on cpu"),
        pytest.param("cpu", zojax.zo_adamm(1e-6, eps=1e-3, key=0), 3, id="adamm on cpu"),
    ],
)
def test_what_is_held_in_memory_is_there_once(target, optimizer, buffers):
    workload = products()
    inference = planning.memory(planning.compile_forward(target, workload))
    step = planning.memory(planning.compile_step(target, workload, optimizer))
    # Besides, one weight of the eight, perturbed, and its momentum, widened.
    assert step.device - inference.device <= (buffers + 0.3) * workload.nbytes
