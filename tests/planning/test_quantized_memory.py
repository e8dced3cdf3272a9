"""A step over integers needs the memory of a forward pass over them."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax.numpy as jnp
import pytest

import zojax
from zojax import planning, quantized
from zojax.lm import adapters, models

# What a step may need beyond its forward pass, as a fraction of that.
SLACK = 0.05

pytestmark = pytest.mark.usefixtures("standard_promotion")


def work(target: str, **settings: Any) -> planning.Workload:
    settings = {"layers": 2, "quantize": "int4", **settings}
    if target == "cpu":
        return models.workload("opt-125m", batch=4, length=64, **settings)
    return models.workload("opt-1.3b", batch=8, length=256, dtype=jnp.bfloat16, **settings)


@cache
def forward(target: str) -> planning.Memory:
    return planning.memory(planning.compile_forward(target, work(target)))


@pytest.fixture(params=["cpu", pytest.param("a100-80gb", marks=pytest.mark.plan)])
def target(request) -> str:
    return request.param


def step(target: str, tx: Any, **settings: Any) -> planning.Memory:
    whole = work(target, layers=None).nbytes
    found = work(target, **settings)
    return planning.memory(planning.compile_step(target, found, tx, model_bytes=whole))


def test_the_forward_pass_takes_the_integers_as_they_are_packed(target):
    # 12 matrices of H² a layer, at half a byte and a scale for 64.
    few, more = (work(target, layers=layers) for layers in (2, 4))
    scale = 4 if target == "cpu" else 2
    width = 768 if target == "cpu" else 2048
    matrices = 2 * 12 * width**2
    packed = matrices // 2 + matrices // 64 * scale
    assert packed <= more.nbytes - few.nbytes <= 1.02 * packed
    assert forward(target).argument <= 1.001 * few.nbytes + 10_000
    plain = planning.compile_forward(target, work(target, quantize=None))
    assert forward(target).temp <= 1.02 * planning.memory(plain).temp + 4 * width**2 * scale


@pytest.mark.parametrize(
    "tuned", ["subspace", "scales", pytest.param("lora", marks=pytest.mark.slow)]
)
def test_a_step_takes_the_memory_of_the_forward_pass(target, tuned):
    inner = zojax.zo_adamu(1e-6, eps=1e-3, key=0)
    settings: dict[str, Any] = {}
    if tuned == "subspace":
        tx = zojax.subspace(inner, rank=16, refresh=None, key=0, in_update=False)
    elif tuned == "scales":
        mezo = zojax.mezo(1e-6, eps=1e-3, key=0, slope_rule=zojax.slope_rules.clip(100.0))
        tx = zojax.select(mezo, quantized.scales(work(target).params))
    else:
        tx, settings = zojax.select(inner, "adapter/*"), {"adapter": adapters.LoRA(rank=8)}
    assert step(target, tx, **settings).device <= (1 + SLACK) * forward(target).device


@pytest.mark.plan
def test_without_the_option_a_card_would_copy_the_integers(monkeypatch):
    monkeypatch.setitem(zojax.streaming._compiler.OPTIONS, "gpu", {})
    mezo = zojax.mezo(1e-6, eps=1e-3, key=0)
    target = "a100-80gb"
    tx = zojax.select(mezo, quantized.scales(work(target).params))
    assert step(target, tx).device > (1 + SLACK) * forward(target).device
