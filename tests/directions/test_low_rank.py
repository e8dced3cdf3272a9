"""Directions of low rank: their statistics, their parts, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import draws_at
from sets import slow_except

import zojax
from zojax import planning

LIMIT = 4.5  # standard errors
ROWS, COLUMNS, COUNT = 4, 6, 20_000


def assert_mean(samples, expected):
    error = samples.std(0) / np.sqrt(len(samples))
    np.testing.assert_array_less(np.abs(samples.mean(0) - expected), LIMIT * error + 1e-9)


def drawn(direction, count=COUNT):
    keys = jax.random.split(jax.random.key(3), count)
    draw = jax.jit(jax.vmap(lambda key: direction.draw(key, (ROWS, COLUMNS))))
    return np.asarray(draw(keys), np.float64)


@pytest.mark.parametrize("base", [zojax.Gaussian(), zojax.Rademacher()], ids=repr)
@pytest.mark.parametrize("rank", [1, 3])
def test_elements_have_unit_variance_and_no_correlation(rank, base):
    z = drawn(zojax.LowRank(rank, base)).reshape(COUNT, -1)
    assert_mean(z, 0.0)
    products = z[:, :, None] * z[:, None, :]
    off = ~np.eye(z.shape[1], dtype=bool)
    assert_mean(products[:, off], 0.0)
    assert_mean(np.mean(z**2, axis=1), 1.0)


def test_elements_are_as_heavy_as_products_of_normals():
    for rank in (1, 2):
        # E z⁴ of a sum of r products: 3 for the sum itself, and 6/r for the products' tails.
        assert_mean(np.mean(drawn(zojax.LowRank(rank)) ** 4, axis=(1, 2)), 3 + 6 / rank)


@pytest.mark.quick
@pytest.mark.parametrize("rank", [1, 2, 5])
def test_rank(rank):
    z = np.asarray(zojax.LowRank(rank).draw(jax.random.key(1), (30, 50)))
    assert np.linalg.matrix_rank(z, rtol=1e-4) == rank


@pytest.mark.parametrize("rank", [1, 3])
def test_estimate_is_unbiased_and_of_the_size_documented(rank):
    gradient = jax.random.normal(jax.random.key(0), (ROWS, COLUMNS))
    tx = zojax.spsa(1e-2, key=0, direction=zojax.LowRank(rank))
    state = tx.init(gradient)

    def estimate(step):
        return tx.update(
            None,
            state._replace(count=step),
            jnp.zeros_like(gradient),
            value_fn=lambda w: jnp.vdot(gradient, w),
        )[0]

    estimates = np.asarray(jax.jit(jax.vmap(estimate))(jnp.arange(COUNT)), np.float64)
    assert_mean(estimates, np.asarray(gradient))
    size = ROWS * COLUMNS
    factor = (ROWS + 2) * (COLUMNS + 2) / rank + (1 - 1 / rank) * (size + 2)
    expected = factor * np.sum(np.square(np.asarray(gradient, np.float64)))
    assert_mean(np.sum(estimates**2, axis=(1, 2)), expected)


@pytest.mark.parametrize(
    "shape",
    # Of a single leaf and of a stack; the others are their transposes.
    slow_except(
        {str(shape): (shape,) for shape in [(6, 100), (100, 6), (5, 30, 40), (40, 4, 8)]},
        *("(6, 100)", "(40, 4, 8)"),
    ),
)
def test_parts_are_parts_of_the_leaf(shape):
    step = draws_at(zojax.LowRank(2), jax.random.key(0), jnp.int32(1), 1, {"w": jnp.zeros(shape)})
    [noise] = step.query(0)
    whole = noise.draw(shape)
    rows = jnp.array([[4, 0], [2, 2]])
    np.testing.assert_array_equal(noise.rows(shape, rows), whole[rows])
    for layer in range(3):
        part = noise.slice(noise.slices(shape)[layer])
        np.testing.assert_array_equal(part.draw(shape[1:]), whole[layer])
        if len(shape) == 3:
            inner = part.slice(part.slices(shape[1:])[1])
            np.testing.assert_array_equal(inner.draw(shape[2:]), whole[layer, 1])
            np.testing.assert_array_equal(part.rows(shape[1:], jnp.array([2])), whole[layer, [2]])
    for axis in range(len(shape)):
        block = noise.block(shape, axis, jnp.int32(1), 2)
        np.testing.assert_array_equal(block, jnp.take(whole, jnp.array([1, 2]), axis))


@pytest.mark.quick
def test_factors_are_thin():
    """A head split in heads, or a stack of layers, is a matrix with its thinnest factors."""
    for shape, size in {(40, 4, 8): 40 + 32, (4, 8, 40): 32 + 40, (3, 20, 90): 60 + 90}.items():
        [noise] = draws_at(
            zojax.LowRank(), jax.random.key(0), jnp.int32(0), 1, {"w": jnp.zeros(shape)}
        ).query(0)
        left, _, right = noise.factors(shape)
        assert left.size + right.size == size


@pytest.mark.quick
def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"LowRank: rank must be .* got 0"):
        zojax.LowRank(0)
    with pytest.raises(TypeError, match="LowRank: base must be"):
        zojax.LowRank(1, zojax.directions.Sampler(jax.random.normal))
    with pytest.raises(ValueError, match="LowRank: base must draw each element alone"):
        zojax.LowRank(1, zojax.Sphere())
    with pytest.raises(ValueError, match="spsa: batched must be False"):
        zojax.spsa(1e-3, key=0, batched=True, evaluation="in_place")


def test_a_long_vector_is_drawn_where_it_is_used():
    """Only small vectors have their noise in memory; others cost no more than in full noise."""

    def temporary(direction, size):
        tx = zojax.mezo(1e-3, eps=1e-3, key=0, direction=direction)

        def step(params):
            def value_fn(p):
                return jnp.sum(jnp.tanh(p["long"])) + jnp.sum(p["short"])

            updates, _ = tx.update(None, tx.init(params), params, value_fn=value_fn)
            return jax.tree.map(jnp.add, params, updates)

        params = {
            "long": jax.ShapeDtypeStruct((size,), jnp.float32),
            "short": jax.ShapeDtypeStruct((8,), jnp.float32),
        }
        options = zojax.compiler_options()
        step = jax.jit(step, donate_argnums=0, compiler_options=options)
        return planning.memory(step.lower(params).compile()).temp

    size = 2**22
    low_rank, full = (temporary(d, size) for d in (zojax.LowRank(2), zojax.Gaussian()))
    assert low_rank < full + 4 * size / 100


@pytest.mark.parametrize("size", [60, 1000, 2**16, 2**16 + 1, 2**17])
def test_a_vector_has_the_same_noise_however_it_is_kept(size):
    key = jax.random.key(0)
    direction = zojax.LowRank(2)
    params = {"v": jnp.zeros(size)}
    draws = draws_at(direction, key, jnp.int32(1), 1, params)
    [noise] = draws.query(0)
    z = direction.draw(jax.random.wrap_key_data(draws.words[0, 0]), (size,))
    np.testing.assert_array_equal(noise.draw((size,)), z)
    np.testing.assert_array_equal(noise.rows((size,), jnp.array([3, 50])), z[jnp.array([3, 50])])
    np.testing.assert_array_equal(noise.block((size,), 0, jnp.int32(7), 20), z[7:27])
    # Rounded to bfloat16, as the factors are.
    np.testing.assert_array_equal(z, z.astype(jnp.bfloat16).astype(jnp.float32))


@pytest.mark.parametrize(
    ("rank", "shape"),
    slow_except(
        {f"{r}-{s}": (r, s) for r in (1, 3) for s in [(5, 8), (5, 8, 12), (5, 4, 6, 2)]},
        *("1-(5, 8)", "3-(5, 8, 12)", "3-(5, 4, 6, 2)"),
    ),
)
def test_a_layers_noise_does_not_depend_on_the_number_of_layers(rank, shape):
    z = zojax.LowRank(rank=rank).draw(jax.random.key(0), shape)
    fewer = zojax.LowRank(rank=rank).draw(jax.random.key(0), (3, *shape[1:]))
    np.testing.assert_array_equal(z[:3], fewer)


def test_the_longest_row_does_not_keep_the_others():
    """That of an embedding which is the head as well, read last of all."""
    params = {"embed": jnp.ones((20_000, 8)), "a": jnp.ones((30, 8)), "b": jnp.ones((40, 8))}
    draws = draws_at(zojax.LowRank(), jax.random.key(0), jnp.int32(0), 1, params)
    a, b, embed = draws.query(0)
    assert embed.left.table.shape == (20_000,)
    assert a.left.table.shape == b.right.table.shape == (30 + 40 + 3 * 8,)
    # The numbers are those of the row alone.
    other = draws_at(
        zojax.LowRank(), jax.random.key(0), jnp.int32(0), 1, {"embed": params["embed"]}
    )
    [alone] = other.query(0)
    np.testing.assert_array_equal(alone.draw((20_000, 8)), embed.draw((20_000, 8)))
