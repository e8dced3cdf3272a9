"""Programs compiled for an A100 on a machine that has none."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from zojax import planning
from zojax.planning import _compile

SIZE = 512


def matrix(sharding=None):
    return jax.ShapeDtypeStruct((SIZE, SIZE), jnp.bfloat16, sharding=sharding)


@jax.jit
def product(a, b):
    return jax.nn.gelu(a @ b)


@pytest.mark.quick
def test_memory_counts_every_buffer_once():
    step = jax.jit(lambda state, x: (state + x, x.sum()), donate_argnums=0)
    x = jnp.ones(1024)
    found = planning.memory(step.lower(x, x).compile())
    assert (found.argument, found.alias) == (8192, 4096)
    assert found.device == found.argument + found.output - found.alias + found.temp
    assert found.device < 3 * 4096


@pytest.mark.plan
def test_a_matrix_product_is_compiled_for_the_card():
    compiled = planning.compile_for("a100-80gb", product, matrix(), matrix())
    found = planning.memory(compiled)
    assert found.argument == 2 * found.output == 4 * SIZE**2
    assert found.alias == 0
    assert jax.devices()[0].platform == "cpu"


@pytest.mark.plan
def test_donated_buffers_are_counted_once():
    donating = jax.jit(lambda a, b: a + b, donate_argnums=0)
    found = planning.memory(planning.compile_for("a100-80gb", donating, matrix(), matrix()))
    assert found.alias == 2 * SIZE**2
    assert found.device == found.argument


@pytest.mark.plan
def test_arguments_may_be_arrays_numbers_and_keys():
    def scaled(x, scale, key):
        return x * scale + jax.random.normal(key, x.shape, x.dtype)

    x = jnp.ones(8, jnp.bfloat16)
    # Strict promotion: this traces only if the Python number has stayed weakly typed.
    compiled = planning.compile_for("a100-80gb", jax.jit(scaled), x, 2.0, jax.random.key(0))
    assert compiled.out_info.dtype == jnp.bfloat16


@pytest.mark.plan
def test_eight_cards_hold_an_eighth_each():
    target = planning.topology(count=8)
    assert target is planning.topology(count=8)
    mesh = Mesh(target.devices, ("data",))
    rows = matrix(NamedSharding(mesh, PartitionSpec("data")))
    found = planning.memory(planning.compile_for(target, product, rows, matrix()))
    whole = 2 * SIZE**2
    assert found.argument == whole // 8 + whole  # the second matrix is on every card
    assert found.output == whole // 8


@pytest.mark.plan
def test_planning_works_after_jax_has_turned_the_plugin_away():
    # Without a named platform, JAX meets the plugin first and rejects it for want of CUDA.
    program = (
        "import jax, jax.numpy as jnp; jnp.ones(1) + 1\n"
        "from zojax import planning\n"
        "x = jax.ShapeDtypeStruct((64,), jnp.float32)\n"
        "compiled = planning.compile_for('a100-80gb', jax.jit(lambda x: x + 1), x)\n"
        "print(planning.memory(compiled).device)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "512"


def test_a_missing_plugin_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax_plugins.xla_cuda12", None)
    with pytest.raises(ImportError, match=r'pip install "zojax\[plan\]"'):
        planning.topology(count=3)


@pytest.mark.quick
def test_unknown_devices_and_counts_are_refused():
    with pytest.raises(ValueError, match=r"device must be one of a100-80gb, .*, got 'a200'"):
        planning.topology("a200")
    with pytest.raises(ValueError, match="count must be >= 1, got 0"):
        planning.topology(count=0)


@pytest.mark.plan
@pytest.mark.parametrize("device", [d for d in planning.DEVICES if not d.startswith("tpu")])
def test_every_card_is_compiled_for(device):
    half = jax.ShapeDtypeStruct((SIZE, SIZE), jnp.float16)
    compiled = planning.compile_for(device, product, half, half)
    assert planning.memory(compiled).argument == 4 * SIZE**2
    kind = planning.topology(device).devices[0].device_kind
    assert device.rpartition("-")[0].replace("-", " ").upper() in kind.upper()


@pytest.mark.plan
@pytest.mark.parametrize("device", [d for d in planning.DEVICES if d.startswith("tpu")])
def test_every_chip_is_compiled_for(device):
    found = planning.memory(planning.compile_for(device, product, matrix(), matrix()))
    assert found.argument == 4 * SIZE**2
    for count in (2, 4, 8):
        assert len(planning.topology(device, count).devices) == count
    with pytest.raises(ValueError, match="count must be a power of 2 for a TPU, got 3"):
        planning.topology(device, 3)


@pytest.mark.plan
def test_the_options_of_cards_that_are_not_attached_reach_their_compiler(monkeypatch):
    # JAX calls their platform "gpu", and not "cuda".
    for platform in _compile._NOT_ATTACHED:
        monkeypatch.setitem(_compile._NOT_ATTACHED, platform, {"xla_no_such_option": "1"})
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option"):
        planning.compile_for("a100-80gb", product, matrix(), matrix())


def test_a_missing_libtpu_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "libtpu", None)
    with pytest.raises(ImportError, match=r'TPU .*pip install "zojax\[plan\]"'):
        planning.topology("tpu-v5e", 16)


def test_a_plain_function_is_refused():
    with pytest.raises(TypeError, match=r"compile_for: step must be wrapped by jax\.jit"):
        planning.compile_for("a100-80gb", lambda x: x, jnp.ones(1))
