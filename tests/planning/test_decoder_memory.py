"""The promise of memory for weights that a forward pass converts: 16 bits, frozen, quantized."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from decoders import workload

import zojax
from zojax import planning

SLACK = 1.02

pytestmark = pytest.mark.usefixtures("standard_promotion")

MEZO = zojax.mezo(1e-6, eps=1e-3, key=0)
LORA = zojax.select(zojax.mezo(1e-6, eps=1e-3, key=0), "adapter/*")
ADAMU = zojax.zo_adamu(1e-4, eps=1e-3, key=0)
FLOAT, HALF = jnp.float32, jnp.bfloat16

# An optimizer, the dtypes and other options of the model, and the buffers that the optimizer keeps.
KINDS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "bf16": (MEZO, dict(dtype=HALF), 0),
    "float32 kept, bf16 computed": (MEZO, dict(dtype=HALF, param_dtype=FLOAT), 0),
    "LoRA, bf16 base": (LORA, dict(dtype=HALF, lora=True), 0),
    "LoRA, float32 base": (LORA, dict(dtype=FLOAT, lora=True), 0),
    "LoRA, float32 base, bf16 computed": (
        LORA,
        dict(dtype=HALF, param_dtype=FLOAT, lora=True),
        0,
    ),
    "zo_adamu, bf16": (ADAMU, dict(dtype=HALF), 1),
    "bf16, last token": (MEZO, dict(dtype=HALF, last=True), 0),
    "bf16, unrolled": (MEZO, dict(dtype=HALF, scan_layers=False), 0),
    "bf16, Flax class": (MEZO, dict(dtype=HALF, implementation="transformers"), 0),
}
BASES = [name for name in KINDS if name.startswith("LoRA")]
QWEN, GEMMA, LLAMA, OPT = "qwen3-0.6b", "gemma-3-1b", "llama-3.2-1b", "opt-125m"
SHAPES = (QWEN, GEMMA, LLAMA)


def case(device: str, name: str, kind: str, *, kept: bool = False) -> Any:
    """A model of two layers on a device; in the default set if ``kept``."""
    marks = [] if device == "cpu" else [pytest.mark.plan]
    if "Flax class" in kind:
        marks.append(pytest.mark.flax_classes)
    if not kept:
        marks.append(pytest.mark.slow)
    return pytest.param(device, name, kind, id=f"{device}, {name}, {kind}", marks=marks)


CASES = [
    case("cpu", OPT, "bf16", kept=True),
    case("cpu", OPT, "bf16, Flax class"),
    *(case("cpu", name, kind) for name in SHAPES for kind in [*KINDS][:2]),
    *(case("cpu", QWEN, kind, kept=kind == BASES[-1]) for kind in BASES),
    *(case("cpu", QWEN, kind) for kind in ("zo_adamu, bf16", "bf16, last token", "bf16, unrolled")),
    *(case("a100-80gb", name, "bf16", kept=name == QWEN) for name in SHAPES),
    *(case("a100-80gb", QWEN, kind) for kind in [*BASES, "zo_adamu, bf16"]),
    # libtpu takes a minute and more for a step; a smaller program is in the default set below.
    *(case("tpu-v5e", name, kind) for name in SHAPES for kind in [*KINDS][:2]),
    *(case("tpu-v5e", QWEN, kind) for kind in [*BASES, "zo_adamu, bf16"]),
]


def needed(
    device: str, work: planning.Workload, tx: Any
) -> tuple[planning.Memory, planning.Memory]:
    """The memory of a step and of a forward pass."""
    inference = planning.memory(planning.compile_forward(device, work))
    return planning.memory(planning.compile_step(device, work, tx)), inference


@pytest.mark.parametrize(("device", "name", "kind"), CASES)
def test_a_step_of_a_decoder_needs_the_memory_of_inference(device, name, kind, record_property):
    tx, options, buffers = KINDS[kind]
    batch, length = (4, 64) if device == "cpu" else (8, 256)
    work = workload(name, batch=batch, length=length, **options)
    step, inference = needed(device, work, tx)
    # For --junit-xml; benchmarks/decoder_memory.py has them of whole models.
    record_property("temporaries of a step / of a forward pass", step.temp / inference.temp)
    assert step.device - buffers * work.nbytes <= SLACK * inference.device


@pytest.mark.plan
@pytest.mark.parametrize("where", ["frozen", "closed over"])
def test_a_tpu_rounds_what_stays_where_it_is_used(where):
    def loss(params, batch):
        base = {**params, **batch}["base"]
        x = batch["tokens"].astype(HALF)
        for weight, bias in zip(base, params["bias"], strict=True):
            x = jax.nn.relu(x @ weight.astype(HALF) + bias[None].astype(HALF))
        return x.astype(FLOAT).sum()

    params = {"bias": [jax.ShapeDtypeStruct((1024,), FLOAT)] * 8}
    batch = {"tokens": jax.ShapeDtypeStruct((4, 1024), jnp.int32)}
    base = {"base": [jax.ShapeDtypeStruct((1024, 1024), FLOAT)] * 8}
    if where == "frozen":
        params |= base
    else:
        batch |= base  # the step's value_fn closes over its batch
    tx = zojax.select(zojax.mezo(1e-6, eps=1e-3, key=0), "bias/*")
    step, inference = needed("tpu-v5e", planning.Workload(params, batch, loss), tx)
    # The eight copies in bfloat16 would be 16 MiB; no more than one is there.
    assert step.device <= inference.device + 2**21


def chain(dtype: Any) -> planning.Workload:
    """A chain of eight products with frozen matrices in ``dtype``, each with scales and a bias."""

    def loss(params, tokens):
        x = tokens.astype(jnp.float32)
        for base, bias in zip(params["base"], params["bias"], strict=True):
            x = jax.nn.relu(x @ (base["q"].astype(jnp.float32) * base["scale"]) + bias[None])
        return x.sum()

    layer = {
        "q": jax.ShapeDtypeStruct((1024, 1024), dtype),
        "scale": jax.ShapeDtypeStruct((1, 1024), jnp.float32),
    }
    params = {"base": [layer] * 8, "bias": [jax.ShapeDtypeStruct((1024,), jnp.float32)] * 8}
    return planning.Workload(params, jax.ShapeDtypeStruct((4, 1024), jnp.int32), loss)


@pytest.mark.parametrize("dtype", ["int8", "int4", "float8_e4m3fn", "bfloat16"])
def test_a_frozen_base_is_not_widened_before_the_loop_over_points(dtype):
    work = chain(jnp.dtype(dtype))
    tx = zojax.select(zojax.mezo(1e-6, eps=1e-3, key=0), "bias/*")
    step, inference = needed("cpu", work, tx)
    # Eight matrices of 4 MiB in float32 would be more than twice the forward pass's memory. The
    # keys of the noise are 0.2 MB that a larger model does not notice.
    assert step.device <= SLACK * inference.device + 2e5


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_scales_may_move_while_what_they_scale_stays(dtype):
    work = chain(jnp.dtype(dtype))
    step, inference = needed("cpu", work, zojax.zo_adam(1e-4, eps=1e-3, key=0))
    # Two moments of what moves; integers have none.
    moving = sum(x.size * 4 for x in jax.tree.leaves(work.params) if x.dtype == jnp.float32)
    assert step.device <= SLACK * inference.device + 2 * moving + 4e5
