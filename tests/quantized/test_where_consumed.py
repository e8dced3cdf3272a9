"""Quantized weights come to life where they are consumed: losses are those of dequantized ones."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sets import slow_except

import zojax
from zojax import quantized
from zojax.streaming import _perturbed

LAYERS, WIDTH, VOCABULARY = 3, 64, 32
WHERE = ["layers/kernel", "head/kernel", "embed/embedding"]


def decoder(dtype: Any = jnp.float32) -> Any:
    keys = iter(jax.random.split(jax.random.key(0), 4))

    def normal(*shape: int) -> jax.Array:
        return (0.2 * jax.random.normal(next(keys), shape)).astype(dtype)

    return {
        "embed": {"embedding": normal(VOCABULARY, WIDTH)},
        "layers": {"kernel": normal(LAYERS, WIDTH, WIDTH), "bias": normal(LAYERS, WIDTH)},
        "head": {"kernel": normal(WIDTH, VOCABULARY)},
    }


def loss(params: Any, tokens: jax.Array) -> jax.Array:
    x = params["embed"]["embedding"][tokens]

    def layer(x: jax.Array, own: Any) -> tuple[jax.Array, None]:
        return jnp.tanh(x @ own["kernel"] + own["bias"][None]), None

    x, _ = jax.lax.scan(layer, x, params["layers"])
    logits = (x @ params["head"]["kernel"]).astype(jnp.float32)
    logits = logits + 0.1 * (x @ params["embed"]["embedding"].T).astype(jnp.float32)
    return optax.softmax_cross_entropy_with_integer_labels(logits[:-1], tokens[1:]).mean()


TOKENS = jnp.arange(12) * 7 % VOCABULARY
_VARIANTS = {
    "int8": ("int8", False),
    "int4": ("int4", False),
    "int4, zero points": ("int4", True),
}
VARIANTS = slow_except(_VARIANTS, "int4, zero points", marks=pytest.mark.quick)
quantized_loss = quantized.dequantizing(loss)


def packed(bits: Any, zero_point: bool = False, dtype: Any = jnp.float32) -> Any:
    return quantized.quantize(decoder(dtype), bits, zero_point=zero_point, where=WHERE, block=16)


def value_fn(params: Any) -> jax.Array:
    return quantized_loss(params, TOKENS)


@pytest.fixture
def small_tiles(monkeypatch):
    """Every product with a matrix is one in parts."""
    monkeypatch.setattr(_perturbed, "LARGE_BYTES", 0)
    monkeypatch.setattr(_perturbed, "LARGE_FRACTION", 0)
    monkeypatch.setattr(_perturbed, "TILE_BYTES", VOCABULARY * 4 * 24)


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize(("bits", "zero_point"), VARIANTS)
def test_a_loss_is_that_of_the_dequantized_weights(bits, zero_point, jitted):
    params = packed(bits, zero_point)
    expected = loss(quantized.dequantize(params), TOKENS)
    function = jax.jit(quantized_loss) if jitted else quantized_loss
    np.testing.assert_allclose(function(params, TOKENS), expected, rtol=1e-6)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(("bits", "zero_point"), VARIANTS)
def test_so_it_is_a_part_of_a_weight_at_a_time(bits, zero_point):
    params = packed(bits, zero_point)
    # A new function, for JAX remembers the trace of one with larger parts.
    program = str(jax.make_jaxpr(lambda params: quantized_loss(params, TOKENS))(params))
    assert f"f32[{WIDTH},11]" in program
    expected = loss(quantized.dequantize(params), TOKENS)
    np.testing.assert_allclose(quantized_loss(params, TOKENS), expected, rtol=1e-6)


@pytest.mark.usefixtures("small_tiles")
def test_a_part_begins_and_ends_with_a_block():
    # The blocks of an embedding lie along the axis that this product keeps.
    params = quantized.quantize(decoder(), "int8", where="embed/embedding", block=16)
    x = jnp.linspace(-1.0, 1.0, 3 * VOCABULARY).reshape(3, VOCABULARY)

    def product(params: Any) -> jax.Array:
        return x @ params["embed"]["embedding"]

    program = str(jax.make_jaxpr(quantized.dequantizing(product))(params))
    assert "f32[32,32]" in program  # 24 columns would be one and a half blocks
    found = quantized.dequantizing(product)(params)
    np.testing.assert_allclose(found, product(quantized.dequantize(params)), rtol=1e-5, atol=1e-6)


@pytest.mark.quick
def test_no_stack_of_weights_is_dequantized():
    program = str(jax.make_jaxpr(quantized_loss)(packed("int8"), TOKENS))
    assert f"i8[{LAYERS},{WIDTH},{WIDTH}]" in program
    assert f"f32[{LAYERS},{WIDTH},{WIDTH}]" not in program


def test_bfloat16_weights_are_rounded_once():
    params = packed("int8", dtype=jnp.bfloat16)
    plain = quantized.dequantize(params)
    assert plain["head"]["kernel"].dtype == jnp.bfloat16
    np.testing.assert_allclose(quantized_loss(params, TOKENS), loss(plain, TOKENS), rtol=1e-6)


@pytest.mark.parametrize("scanned_over", ["vmap", "grad", "jvp"])
def test_it_can_be_transformed(scanned_over):
    params, plain = packed("int8"), quantized.dequantize(packed("int8"))

    def found(function: Any, params: Any) -> Any:
        def of(shift: jax.Array) -> jax.Array:
            layers = {**params["layers"], "bias": params["layers"]["bias"] + shift}
            return function({**params, "layers": layers}, TOKENS)

        if scanned_over == "vmap":
            return jax.vmap(of)(jnp.linspace(0.0, 1.0, 3))
        if scanned_over == "grad":
            return jax.grad(of)(jnp.float32(0.3))
        return jax.jvp(of, (jnp.float32(0.3),), (jnp.float32(1.0),))[1]

    np.testing.assert_allclose(found(quantized_loss, params), found(loss, plain), rtol=1e-4)


def test_a_gather_outside_of_the_table_is_filled():
    params = packed("int8")

    def rows(params: Any) -> jax.Array:
        return jnp.take(params["embed"]["embedding"], jnp.array([0, 99]), axis=0, fill_value=7.0)

    found = quantized.dequantizing(rows)(params)
    np.testing.assert_array_equal(found[1], 7.0)
    expected = quantized.dequantize(params)["embed"]["embedding"][0]
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def stepped(tx: Any, params: Any, function: Any = value_fn, steps: int = 2) -> tuple[Any, Any]:
    @jax.jit
    def step(params: Any, state: Any) -> tuple[Any, Any]:
        updates, state = tx.update(None, state, params, value_fn=function)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params, state


def same_integers(one: Any, other: Any) -> bool:
    trees = [jax.tree.leaves(x, is_leaf=quantized.is_quantized) for x in (one, other)]
    pairs = [pair for pair in zip(*trees, strict=True) if quantized.is_quantized(pair[0])]
    assert pairs
    return all(a.qvalue.tolist() == b.qvalue.tolist() for a, b in pairs)


def in_subspace(**settings: Any) -> Any:
    inner = zojax.zo_adamu(1e-2, eps=1e-2, key=0, num_steps=10)
    return zojax.subspace(inner, rank=4, refresh=None, key=1, **settings)


@pytest.mark.parametrize(("bits", "zero_point"), VARIANTS)
def test_a_subspace_of_a_quantized_base_is_that_of_the_dequantized_one(bits, zero_point):
    params = packed(bits, zero_point)
    plain = quantized.dequantize(params)
    new, state = stepped(in_subspace(), params)
    _, expected = stepped(in_subspace(), plain, lambda p: loss(p, TOKENS))
    assert same_integers(new, params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5),
        state.coordinates,
        expected.coordinates,
    )
    assert float(jnp.abs(state.coordinates["head"]["kernel"]).max()) > 0
    # Everything stays where it is, and what S says is added where it is asked for.
    jax.tree.map(np.testing.assert_array_equal, new, params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4),
        quantized.dequantize(zojax.folded(new, state)),
        zojax.folded(plain, expected),
    )


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_so_it_is_in_parts_and_in_16_bits(dtype):
    params = packed("int4", dtype=dtype)
    _, state = stepped(in_subspace(), params, steps=1)
    other = in_subspace(evaluation="copy")
    _, expected = stepped(other, params, steps=1)
    near = 1e-3 if dtype == "float32" else 0.3
    np.testing.assert_allclose(zojax.last_loss(state), zojax.last_loss(expected), rtol=near / 10)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=near, atol=1e-4),
        state.coordinates,
        expected.coordinates,
    )


def test_select_around_a_subspace_takes_whole_weights():
    params = packed("int8")
    new, state = stepped(zojax.select(in_subspace(), "layers/kernel/*"), params)
    assert same_integers(new, params)
    folded = zojax.folded(new, state)
    assert folded["layers"]["kernel"].offset is not None
    assert folded["head"]["kernel"].offset is None


@pytest.mark.parametrize("in_update", [False, True])
def test_a_period_that_ends_is_refused(in_update):
    inner = zojax.mezo(1e-2, eps=1e-2, key=0)
    tx = zojax.subspace(inner, rank=4, refresh=20, key=1, in_update=in_update)
    with pytest.raises(
        ValueError, match=r"^subspace: refresh must be None where weights are quantized, got 20:"
    ):
        tx.init(packed("int8"))


def test_what_was_gathered_is_read_beside_the_integers():
    params = packed("int4")
    params, state = stepped(in_subspace(), params, steps=1)
    folded = zojax.folded(params, state)
    assert same_integers(folded, params)
    arrays = quantized.dequantize(folded)
    np.testing.assert_allclose(value_fn(folded), loss(arrays, TOKENS), rtol=1e-5)
    assert float(value_fn(folded)) != float(value_fn(params))
    # A layer at a time it is the same.
    kernel = folded["layers"]["kernel"]
    layers = jnp.stack([layer.dequantized() for layer in kernel.layers()])
    np.testing.assert_allclose(layers, arrays["layers"]["kernel"], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"^subspace: quantized weights must have no offset"):
        in_subspace().init(folded)


def test_a_gradient_of_integers_is_refused():
    tx, params = zojax.subspace(optax.sgd(1.0), rank=4, refresh=None, key=1), packed("int8")
    with pytest.raises(
        ValueError, match=r"^subspace: updates must be None where weights are quantized"
    ):
        tx.update(params, tx.init(params), params)


@pytest.mark.parametrize(("bits", "zero_point"), VARIANTS)
def test_scales_alone_move(bits, zero_point):
    params = packed(bits, zero_point)

    def of_scales(**settings: Any) -> Any:
        rule = zojax.slope_rules.clip(100.0)
        tx = zojax.mezo(1e-3, eps=1e-3, key=0, slope_rule=rule, **settings)
        return zojax.select(tx, quantized.scales(params))

    tx = of_scales()
    new, _ = stepped(tx, params)
    assert same_integers(new, params)
    np.testing.assert_array_equal(new["layers"]["bias"], params["layers"]["bias"])
    moved = new["layers"]["kernel"].scale - params["layers"]["kernel"].scale
    assert (np.asarray(moved) != 0).mean() > 0.9
    copied = of_scales(evaluation="copy")
    expected, _ = stepped(copied, params, lambda p: loss(quantized.dequantize(p), TOKENS))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(
            a.astype(jnp.float32), b.astype(jnp.float32), rtol=1e-3, atol=1e-5
        ),
        new,
        expected,
    )


@pytest.mark.usefixtures("small_tiles")
def test_scales_of_a_weight_in_parts_are_perturbed_as_in_a_copy():
    params = packed("int8")
    tx = zojax.select(zojax.mezo(1e-3, eps=1e-3, key=0), quantized.scales(params))
    new, _ = stepped(tx, params, steps=1)
    copied = zojax.select(
        zojax.mezo(1e-3, eps=1e-3, key=0, evaluation="copy"), quantized.scales(params)
    )
    expected, _ = stepped(copied, params, lambda p: loss(quantized.dequantize(p), TOKENS), steps=1)
    np.testing.assert_allclose(
        new["head"]["kernel"].scale, expected["head"]["kernel"].scale, rtol=1e-4
    )
