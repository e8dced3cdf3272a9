"""Products with weights along directions of low rank."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import draws_at
from products import PRODUCTS, product_at
from sets import slow_except

import zojax

LOW_RANK = zojax.LowRank(2)
BOTH = {"experts": ((3, 24, 70), lambda x, w: jnp.einsum("nd,nde->ne", x, w))}
WHOLE = {"traced": ((24, 24), lambda x, w: jnp.einsum("bd,ed->b", x, w))}


@pytest.mark.parametrize("dtype", slow_except(["float32", "bfloat16", "float16"], "bfloat16"))
@pytest.mark.parametrize("name", [*PRODUCTS, *BOTH, *WHOLE])
def test_a_factored_product_is_the_product(name, dtype):
    shape, product = (PRODUCTS | BOTH | WHOLE)[name]
    w = jax.random.normal(jax.random.key(0), shape).astype(dtype)
    streamed = product_at("streamed", product, w, LOW_RANK)
    copied = product_at("copy", product, w, LOW_RANK)
    tolerance = {"float32": 1e-5, "float16": 0.02, "bfloat16": 0.1}[dtype]
    np.testing.assert_allclose(
        streamed.astype("float32"), copied.astype("float32"), rtol=tolerance, atol=tolerance
    )


def slope_in_bfloat16(direction, result):
    """The slope found and the exact one, at θ = 1 and ε = 1e-4: θ + εz has the bits of θ."""
    w, x = jnp.ones((512, 512), jnp.bfloat16), jnp.ones((1, 512), jnp.bfloat16) / 512
    weights = jnp.linspace(-1.0, 1.0, 512)
    tx = zojax.spsa(1e-4, key=0, direction=direction)
    state = tx.init(w)

    def value_fn(w):
        y = jnp.dot(x, w, preferred_element_type=result)
        return jnp.sum((y.astype(jnp.float32)[0] - 1.0) * weights)

    updates, _ = tx.update(None, state, w, value_fn=value_fn)
    [noise] = draws_at(direction, state.key, state.count, 1, w).query(0)
    z = noise.draw(w.shape)
    found = jnp.vdot(updates.astype(jnp.float32), z) / jnp.vdot(z, z)
    return found, jnp.vdot(jax.grad(value_fn)(w).astype(jnp.float32), z)


def test_a_product_with_a_float32_result_keeps_a_small_perturbation():
    found, exact = slope_in_bfloat16(zojax.LowRank(), jnp.float32)
    assert abs(exact) > 0.01
    np.testing.assert_allclose(found, exact, rtol=0.05)
    # A perturbed weight is rounded to bfloat16 before its product.
    assert slope_in_bfloat16(zojax.Rademacher(), jnp.float32)[0] == 0.0


def test_a_product_with_a_bfloat16_result_rounds_a_small_perturbation_away():
    """As the docs say: the sum is rounded as the product itself is."""
    found, exact = slope_in_bfloat16(zojax.LowRank(), jnp.bfloat16)
    assert abs(exact) > 0.01
    assert found == 0.0


def temporary_bytes(tx, shape):
    def value(params, x):
        def value_fn(p):
            return jnp.sum(jnp.tanh(jnp.tanh(x @ p["in"]) @ p["out"]))

        return tx.update(None, tx.init(params), params, value_fn=value_fn)[1].value

    params = {"in": jax.ShapeDtypeStruct(shape, jnp.float32)}
    params["out"] = jax.ShapeDtypeStruct(shape[::-1], jnp.float32)
    x = jax.ShapeDtypeStruct((2, shape[0]), jnp.float32)
    compiled = jax.jit(value, compiler_options=zojax.compiler_options()).lower(params, x).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("batched", [False, True])
def test_no_perturbed_weight_is_formed(batched):
    shape = (1024, 1536)
    tx = zojax.spsa(1e-3, key=0, direction=LOW_RANK, num_queries=4, batched=batched)
    assert temporary_bytes(tx, shape) < 4 * 1024 * 1536 / 2
    whole = zojax.spsa(1e-3, key=0, num_queries=4, batched=batched)
    assert temporary_bytes(whole, shape) > 4 * 1024 * 1536
