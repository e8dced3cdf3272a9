"""Weights to integers and back; what qwix has made is read as it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import zojax
from zojax import quantized
from zojax.quantized import QuantizedArray

pytestmark = pytest.mark.quick

KERNEL = 0.02 * jax.random.normal(jax.random.key(0), (3, 128, 48))


def packed(bits: Any, *, zero_point: bool = False, block: int = 64) -> QuantizedArray:
    tree = {"layers": {"kernel": KERNEL}}
    return quantized.quantize(tree, bits, zero_point=zero_point, block=block)["layers"]["kernel"]


@pytest.mark.parametrize("zero_point", [False, True])
@pytest.mark.parametrize(("bits", "levels"), [("int8", 256), ("int4", 16)])
def test_a_weight_is_off_by_half_a_scale_at_most(bits, levels, zero_point):
    one = packed(bits, zero_point=zero_point)
    assert one.qvalue.dtype == bits
    assert one.scale.shape == (3, 2, 48)
    assert one.shape == KERNEL.shape
    blocks = np.asarray(KERNEL, np.float64).reshape(3, 2, 64, 48)
    low, high = np.minimum(blocks.min(2), 0), np.maximum(blocks.max(2), 0)
    scale = (
        (high - low) / (levels - 1) if zero_point else np.abs(blocks).max(2) / (levels / 2 - 0.5)
    )
    np.testing.assert_allclose(one.scale, scale, rtol=1e-6)
    off = np.abs(np.asarray(one.dequantized()) - np.asarray(KERNEL)).reshape(3, 2, 64, 48)
    # The integer that stands for 0 is rounded, too.
    assert (off.max(2) <= scale * ((1.0 if zero_point else 0.5) + 1e-3)).all()


def test_zeros_stay_zeros():
    one = quantized.quantize({"kernel": jnp.zeros((64, 2))}, "int4")
    assert not np.asarray(quantized.dequantize(one)["kernel"]).any()


def test_integers_of_4_bits_take_half_a_byte():
    compiled = (
        jax.jit(lambda x: x.qvalue[0, 0, 0].astype(jnp.int32)).lower(packed("int4")).compile()
    )
    least = KERNEL.size // 2
    assert compiled.memory_analysis().argument_size_in_bytes < 1.2 * least


@pytest.mark.parametrize(
    ("size", "block", "found"), [(128, 64, 2), (96, 64, 2), (40, 64, 1), (100, 64, 2), (4, 64, 1)]
)
def test_a_block_divides_the_axis(size, block, found):
    one = quantized.quantize({"kernel": jnp.ones((size, 2))}, "int8", block=block)["kernel"]
    assert one.scale.shape == (found, 2)


def test_embeddings_heads_and_vectors_stay_by_default():
    params = {
        "embed_tokens": {"embedding": jnp.ones((16, 8))},
        "layers": {"norm": {"scale": jnp.ones((2, 8))}, "fc": {"kernel": jnp.ones((2, 8, 8))}},
        "lm_head": {"kernel": jnp.ones((8, 16))},
    }
    found = quantized.quantize(params, "int8")
    assert isinstance(found["layers"]["fc"]["kernel"], QuantizedArray)
    rest = [found["embed_tokens"]["embedding"], found["layers"]["norm"]["scale"]]
    assert all(isinstance(x, jax.Array) for x in [*rest, found["lm_head"]["kernel"]])
    named = quantized.quantize(params, "int8", where="embed_tokens/*")
    # A row of an embedding is taken with its own scales.
    assert named["embed_tokens"]["embedding"].scale.shape == (16, 1)


@dataclasses.dataclass
class QArray:
    """As qwix's."""

    qvalue: Any
    scale: Any
    zero_point: Any
    qtype: Any


@dataclasses.dataclass
class WithAux:
    array: Any
    how: Any


def test_what_qwix_has_made_is_read():
    one = packed("int4", zero_point=True)
    theirs = QArray(one.qvalue, one.scale, one.zero_point, jnp.int4)
    tree = {"a": {"kernel": WithAux(theirs, None)}, "b": theirs, "c": jnp.ones(2)}
    found = quantized.from_qwix(tree)
    assert isinstance(found["a"]["kernel"], QuantizedArray)
    assert isinstance(found["b"], QuantizedArray)
    assert found["b"].zero_point is one.zero_point
    assert found["c"] is tree["c"]
    with pytest.raises(ValueError, match=r"^from_qwix: integers must be one of .* got nf4\."):
        quantized.from_qwix(dataclasses.replace(theirs, qtype="nf4"))


@pytest.mark.parametrize("zero_point", [False, True])
@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_the_integers_and_scales_are_those_of_qwix(bits, zero_point):
    qwix = pytest.importorskip("qwix", reason="qwix is not installed")
    theirs = qwix.quantize(
        KERNEL,
        getattr(jnp, bits),
        channelwise_axes=(0, 2),
        tiled_axes={1: 64},
        calibration_method="minmax" if zero_point else "absmax",
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        quantized.from_qwix({"w": theirs})["w"],
        packed(bits, zero_point=zero_point),
    )


def test_updates_are_scalars_and_are_added():
    params = {"kernel": packed("int4"), "bias": jnp.ones(3)}
    updates = jax.tree.map(lambda x: jnp.zeros((), x.dtype), params)
    new = optax.apply_updates(params, updates)
    assert isinstance(new["kernel"], QuantizedArray)
    np.testing.assert_array_equal(new["kernel"].qvalue, params["kernel"].qvalue)


def test_scales_are_found():
    params = {"kernel": packed("int4", zero_point=True), "scale": jnp.ones(3)}
    found = quantized.scales(params)
    assert jax.tree.leaves(found) == [False, True, False, False]
    state = zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0), found).init(params)
    assert state


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: quantized.quantize(p, "int3"), r"quantize: bits must be one of .* got 'int3'"),
        (lambda p: quantized.quantize(p, "int8", block=4), r"quantize: block must be >= 8, got 4"),
        (
            lambda p: quantized.quantize(p, "int8", where="bias"),
            r"quantize: where must name floating-point weights .* got float32\[8\] at bias",
        ),
        (
            lambda p: quantized.quantize({"bias": p["bias"]}, "int8"),
            r"quantize: params must have a weight of two axes",
        ),
        (
            lambda p: quantized.quantize({"kernel": jnp.ones((97, 2))}, "int8"),
            r"quantize: block must divide the axis of 97 weights of kernel",
        ),
        (quantized.scales, r"scales: params must have quantized weights, got none"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    params = {"kernel": jnp.ones((8, 8)), "bias": jnp.ones(8)}
    with pytest.raises(ValueError, match=f"^{message}"):
        call(params)
