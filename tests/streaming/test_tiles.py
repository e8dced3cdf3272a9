"""Products with a large perturbed weight, done in parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from products import PRODUCTS, product_at

import zojax
from zojax.streaming import _perturbed as tiles


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiles, "TILE_BYTES", 1024)
    monkeypatch.setattr(tiles, "LARGE_BYTES", 2048)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_the_parts_make_the_whole_product(name, dtype, monkeypatch):
    shape, product = PRODUCTS[name]
    w = jax.random.normal(jax.random.key(0), shape).astype(dtype)
    parts, perturb = [], tiles.perturb
    monkeypatch.setattr(
        tiles, "perturb", lambda *args: parts.append(args[0].shape) or perturb(*args)
    )
    streamed = product_at("streamed", product, w)
    # All of it is what a TPU would perturb, within the product.
    parts = [part for part in parts if part != shape]
    assert parts
    assert all(np.prod(part) * w.dtype.itemsize <= 2048 for part in parts)
    copied = product_at("copy", product, w)
    tolerance = 1e-5 if dtype == "float32" else 0.05
    np.testing.assert_allclose(
        streamed.astype("float32"), copied.astype("float32"), rtol=tolerance, atol=tolerance
    )


@pytest.mark.quick
@pytest.mark.usefixtures("small_tiles")
def test_a_weight_is_perturbed_at_once_where_it_has_no_parts():
    w = jax.random.normal(jax.random.key(0), (24, 70))
    sampler = zojax.directions.Sampler(jax.random.normal)
    for product in (lambda x, w: x @ w, lambda x, w: x[0].sum() * (w.reshape(-1) @ w.reshape(-1))):
        for direction in (zojax.Gaussian(), sampler):
            streamed = product_at("streamed", product, w, direction)
            copied = product_at("copy", product, w, direction)
            np.testing.assert_allclose(streamed, copied, rtol=1e-5, atol=1e-5)


@pytest.mark.quick
@pytest.mark.usefixtures("small_tiles")
def test_a_weight_of_a_few_layers_is_split_as_in_the_model_that_they_stand_for():
    params, x = {"w": jnp.ones((24, 70))}, jnp.ones((3, 24))
    tx = zojax.spsa(1e-3, key=0)

    def step(params, model_bytes):
        return tx.update(
            None,
            tx.init(params),
            params,
            value_fn=lambda p: jnp.sum(x @ p["w"]),
            model_bytes=model_bytes,
        )[0]

    alone, within = (
        str(jax.make_jaxpr(lambda p, n=n: step(p, n))(params)) for n in (0, 100 * 24 * 70 * 4)
    )
    assert "dynamic_update_slice" in alone
    # There it is less than 1/64 of the parameters.
    assert "dynamic_update_slice" not in within


def test_a_large_head_leaves_no_perturbed_copy():
    w = jnp.zeros((30_000, 512))  # 61 MB

    def step_bytes(evaluation):
        tx = zojax.spsa(1e-3, key=0, direction=zojax.Rademacher(), evaluation=evaluation)

        def value(params, x):
            return tx.update(
                None, tx.init(params), params, value_fn=lambda p: jnp.sum((x @ p["w"].T) ** 2)
            )[1].value

        compiled = jax.jit(value, compiler_options=zojax.compiler_options())
        return compiled.lower({"w": w}, jnp.ones((2, 512))).compile().memory_analysis()

    assert step_bytes("copy").temp_size_in_bytes > w.nbytes
    assert step_bytes("streamed").temp_size_in_bytes < w.nbytes / 5


def test_a_weight_over_several_devices_is_not_cut():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x", None))
    w = jax.device_put(jnp.zeros((30_000, 512)), sharding)
    tx = zojax.spsa(1e-3, key=0)

    def value(params, x):
        return tx.update(None, tx.init(params), params, value_fn=lambda p: jnp.sum(x @ p["w"].T))[
            1
        ].value

    text = jax.jit(value).lower({"w": w}, jnp.ones((2, 512))).compile().as_text()
    assert "all-gather" not in text
    assert "collective-permute" not in text
