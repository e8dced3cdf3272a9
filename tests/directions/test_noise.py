"""The noise: its bits, its statistics and what it depends on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import draws_at

import zojax
from zojax.directions._counter import bits, path_hashes, row_keys
from zojax.directions._elementwise import ElementwiseDirection, StoredNoise

DIRECTIONS = [zojax.Gaussian(), zojax.Rademacher(), zojax.directions.Sampler(jax.random.normal)]
NAMES = [type(direction).__name__ for direction in DIRECTIONS]
WORDS = jnp.array([123, 456], jnp.uint32)
LIMIT = 4.5  # standard errors


def draws(direction, tree, *, key=0, count=3, num_queries=1):
    return draws_at(direction, jax.random.key(key), jnp.int32(count), num_queries, tree)


def drawn(direction, tree, **options):
    step = draws(direction, tree, **options)
    leaves = jax.tree.leaves(tree)
    noises = step.query(step.num_queries - 1)
    return [np.asarray(n.draw(x.shape), np.float64) for n, x in zip(noises, leaves, strict=True)]


def assert_mean(samples, expected):
    error = samples.std() / np.sqrt(samples.size)
    assert abs(samples.mean() - expected) < LIMIT * max(error, 1e-12)


@pytest.mark.quick
@pytest.mark.parametrize("direction", DIRECTIONS, ids=NAMES)
def test_moments(direction):
    [z] = drawn(direction, {"w": jnp.zeros((400, 500))})
    fourth = 1.0 if direction == zojax.Rademacher() else 3.0
    for power, expected in ((1, 0.0), (2, 1.0), (3, 0.0), (4, fourth)):
        assert_mean(z**power, expected)


@pytest.mark.quick
def test_gaussian_is_the_normal_quantile_of_its_bits():
    signed = np.r_[np.arange(-(2**31), 2**31, 99_991), -(2**31), -1, 0, 1, 2**31 - 1]
    bits = jnp.asarray(signed.astype(np.int32).view(np.uint32))
    z = np.asarray(jax.jit(zojax.Gaussian().from_bits)(bits), np.float64)
    u = np.abs(signed.astype(np.float32).astype(np.float64)) * (1.0 - 2.0**-24) * 2.0**-31
    with jax.enable_x64(True):
        # From the nearer end, where the float is exact.
        expected = -np.sign(signed) * np.asarray(jax.scipy.special.ndtri(jnp.asarray(1 - u) / 2))
    np.testing.assert_allclose(z, expected, atol=3e-3)
    # Errors of both signs cancel: the variance is nearer than any one value.
    np.testing.assert_allclose(np.mean(z**2), np.mean(expected**2), rtol=5e-5)
    assert 5.3 < z.max() < 5.5


def test_sphere_has_one_length():
    tree = {"a": jnp.zeros((30, 40)), "b": jnp.zeros(7), "n": jnp.arange(4)}
    step = draws(zojax.Sphere(), tree)
    squares = sum(
        jnp.sum(n.draw(tree[name].shape) ** 2)
        for name, n in zip(("a", "b"), step.query(0), strict=False)
    )
    np.testing.assert_allclose(squares, 30 * 40 + 7, rtol=1e-5)


@pytest.mark.parametrize("direction", DIRECTIONS, ids=NAMES)
def test_nothing_is_correlated(direction):
    tree = {"w": jnp.zeros((200, 300)), "same": jnp.zeros((200, 300))}
    same, w = drawn(direction, tree)
    others = {
        "leaf": same,
        "step": drawn(direction, tree, count=4)[1],
        "query": drawn(direction, tree, num_queries=2)[1],
        "key": drawn(direction, tree, key=1)[1],
        "row": np.roll(w, 1, axis=0),
        "column": np.roll(w, 1, axis=1),
        "transpose": np.roll(w.reshape(-1), 512).reshape(w.shape),
    }
    for other in others.values():
        assert_mean(w * other, 0.0)
        assert_mean((w**2) * (other**2), 1.0)


def assert_independent(first, second):
    ones = np.unpackbits((np.asarray(first) ^ np.asarray(second)).view(np.uint8))
    assert_mean(ones.astype(np.float64), 0.5)


def test_near_words_give_independent_keys():
    """Leaves whose first words lie closer than their rows are many must not share keys."""
    first = row_keys(WORDS, 200_000)
    second = row_keys(WORDS + jnp.array([1, 1], jnp.uint32), 200_000)
    assert_independent(first[1:], second[:-1])


def test_neighbouring_rows_give_independent_bits():
    whole = bits(row_keys(WORDS, 400), (500,))
    assert_independent(whole[1:], whole[:-1])
    assert_independent(whole[:, 1:], whole[:, :-1])
    assert_independent(whole[1:, 1:], whole[:-1, :-1])


@pytest.mark.quick
def test_a_leaf_keeps_its_noise_when_others_come():
    tree = {"b": jnp.zeros((5, 3)), "d": jnp.zeros(4)}
    more = {"a": jnp.zeros((2, 2)), **tree, "c": jnp.zeros(4, jnp.bfloat16)}
    b, d = drawn(zojax.Gaussian(), tree)
    _, b_again, _, d_again = drawn(zojax.Gaussian(), more)
    np.testing.assert_array_equal(b, b_again)
    np.testing.assert_array_equal(d, d_again)


def test_equal_paths_are_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"'x' and 'x' share one path hash"):
        path_hashes(["x", "y", "x"])


# Rows by one axis, by two, and by none: the last axes are columns where they are short.
@pytest.mark.parametrize("shape", [(6, 4, 100), (9, 130), (5, 3, 8)])
def test_parts_are_parts_of_the_leaf(shape):
    tree = {"other": jnp.zeros(shape), "w": jnp.zeros(shape)}
    _, noise = draws(zojax.Rademacher(), tree).query(0)
    whole = noise.draw(shape)
    assert len(np.unique(whole.reshape(-1, shape[-1]), axis=0)) > 1
    rows = jnp.array([[4, 0], [2, 2]])
    np.testing.assert_array_equal(noise.rows(shape, rows), whole[rows])
    for layer in range(shape[0]):
        part = noise.slice(noise.slices(shape)[layer])
        np.testing.assert_array_equal(part.draw(shape[1:]), whole[layer])
        if len(shape) == 3:
            inner = part.slice(part.slices(shape[1:])[1])
            np.testing.assert_array_equal(inner.draw(shape[2:]), whole[layer, 1])
    for axis in range(len(shape)):
        block = noise.block(shape, axis, jnp.int32(1), 2)
        np.testing.assert_array_equal(block, jnp.take(whole, jnp.array([1, 2]), axis))


def test_leaves_of_more_than_32_bits_of_elements_do_not_repeat():
    shape = (3, 2**31)  # never drawn whole
    [noise] = draws(zojax.Gaussian(), {"w": jax.ShapeDtypeStruct(shape, jnp.float32)}).query(0)
    rows = noise.slices(shape)
    assert rows.shape == (3,)
    assert len(set(np.asarray(rows).tolist())) == 3
    assert jax.eval_shape(lambda: noise.rows(shape, jnp.array([1]))).shape == (1, 2**31)


@pytest.mark.quick
@pytest.mark.parametrize("direction", [zojax.Gaussian(), zojax.LowRank(2)], ids=repr)
def test_a_step_draws_what_the_direction_draws(direction):
    tree = {"m": jnp.zeros((5, 70)), "v": jnp.zeros(7), "s": jnp.zeros(())}
    step = draws(direction, tree, num_queries=2)
    keys = jax.random.wrap_key_data(step.words[1])
    for key, noise, shape in zip(keys, step.query(1), step.shapes, strict=True):
        np.testing.assert_array_equal(noise.draw(shape), direction.draw(key, shape))


@pytest.mark.quick
@pytest.mark.parametrize("direction", [*DIRECTIONS, zojax.Sphere()], ids=[*NAMES, "Sphere"])
def test_z_that_is_kept_whole_is_the_same(direction):
    tree = {"m": jnp.zeros((5, 70)), "large": jnp.zeros((300, 400)), "s": jnp.zeros(())}
    kept = draws(direction.stored(), tree, num_queries=2)
    whole = isinstance(direction, ElementwiseDirection)  # no other one draws several leaves at once
    # A sphere's norm is a sum, of which a compiler chooses the order.
    rtol = 1e-6 if isinstance(direction, zojax.Sphere) else 0
    assert all(isinstance(noise, StoredNoise) == whole for noise in kept.query(1))
    for z, same in zip(
        drawn(direction, tree, num_queries=2),
        drawn(direction.stored(), tree, num_queries=2),
        strict=True,
    ):
        np.testing.assert_allclose(z, same, rtol=rtol, atol=0)
    assert direction.stored().stored() == direction.stored()


def test_any_direction_can_be_written():
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Laplace(zojax.directions.SampledDirection):
        def draw(self, key, shape):
            return jax.random.laplace(key, shape) / np.float32(np.sqrt(2.0))

    [z] = drawn(Laplace(), {"w": jnp.zeros((300, 300))})
    assert_mean(z**2, 1.0)
