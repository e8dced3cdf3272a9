"""The noise: its bits, its statistics and what it depends on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zojax
from zojax.directions import Draws
from zojax.directions._counter import hash_bits, leaf_bits, row_bits, row_starts
from zojax.directions._keys import path_hashes

DIRECTIONS = [zojax.Gaussian(), zojax.Rademacher(), zojax.Sampler(jax.random.normal)]
WORDS = jnp.array([123, 456], jnp.uint32)
LIMIT = 4.5  # standard errors


def draws(direction, tree, *, key=0, count=3, num_queries=1):
    return Draws.at_step(direction, jax.random.key(key), jnp.int32(count), num_queries, tree)


def drawn(direction, tree, **options):
    step = draws(direction, tree, **options)
    leaves = jax.tree.leaves(tree)
    noises = step.query(step.words.shape[0] - 1)
    return [np.asarray(n.draw(x.shape), np.float64) for n, x in zip(noises, leaves, strict=True)]


def assert_mean(samples, expected):
    error = samples.std() / np.sqrt(samples.size)
    assert abs(samples.mean() - expected) < LIMIT * max(error, 1e-12)


@pytest.mark.parametrize("direction", DIRECTIONS, ids=repr)
def test_moments(direction):
    [z] = drawn(direction, {"w": jnp.zeros((400, 500))})
    fourth = 1.0 if direction == zojax.Rademacher() else 3.0
    for power, expected in ((1, 0.0), (2, 1.0), (3, 0.0), (4, fourth)):
        assert_mean(z**power, expected)


def test_gaussian_is_the_normal_quantile_of_its_bits():
    top = np.unique(np.r_[np.arange(-(2**23), 2**23, 997), -(2**23), 2**23 - 1])
    bits = jnp.asarray((top.astype(np.int64) << 8).astype(np.int32).view(np.uint32))
    z = np.asarray(jax.jit(zojax.Gaussian().from_bits)(bits), np.float64)
    with jax.enable_x64(True):
        # From the nearer end, where the float is exact.
        tail = jax.scipy.special.ndtri(jnp.asarray((2.0**23 - np.abs(top + 0.5)) / 2.0**24))
        expected = np.where(top >= 0, -1.0, 1.0) * np.asarray(tail)
    np.testing.assert_allclose(z, expected, atol=2e-5)


def test_sphere_has_one_length():
    tree = {"a": jnp.zeros((30, 40)), "b": jnp.zeros(7), "n": jnp.arange(4)}
    step = draws(zojax.Sphere(), tree)
    squares = sum(
        jnp.sum(n.draw(tree[name].shape) ** 2)
        for name, n in zip(("a", "b"), step.query(0), strict=False)
    )
    np.testing.assert_allclose(squares, 30 * 40 + 7, rtol=1e-5)


@pytest.mark.parametrize("direction", DIRECTIONS, ids=repr)
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


def test_near_words_give_independent_bits():
    """Leaves whose first words lie closer than their sizes must not share a sequence."""
    index = jnp.arange(200_000, dtype=jnp.uint32)
    first = hash_bits(WORDS, index)
    second = hash_bits(WORDS + jnp.array([1, 1], jnp.uint32), index)
    shifted = np.asarray(first[1:]) ^ np.asarray(second[:-1])
    ones = np.unpackbits(shifted.view(np.uint8)).astype(np.float64)
    assert_mean(ones, 0.5)


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


@pytest.mark.parametrize("start", [None, jnp.array([2**32 - 9, 5], jnp.uint32)])
def test_rows_and_layers_are_parts_of_the_leaf(start):
    shape = (6, 4, 3)
    whole = leaf_bits(WORDS, shape, start)
    rows = jnp.array([[5, 0], [2, 2]])
    np.testing.assert_array_equal(row_bits(WORDS, shape, rows, start), whole[rows])
    low, high = row_starts(shape, start)
    for layer in range(shape[0]):
        part = leaf_bits(WORDS, shape[1:], jnp.stack([low[layer], high[layer]]))
        np.testing.assert_array_equal(part, whole[layer])


def test_leaves_of_more_than_32_bits_of_elements_do_not_repeat():
    shape = (3, 2**31)  # never drawn whole
    low, high = row_starts(shape)
    first, third = (leaf_bits(WORDS, (1000,), jnp.stack([low[row], high[row]])) for row in (0, 2))
    assert int(high[2]) == 1
    assert int(low[2]) == 0
    assert not np.any(np.asarray(first) == np.asarray(third))
    rows = jax.eval_shape(lambda: row_bits(WORDS, shape, jnp.array([1])))
    assert rows.shape == (1, 2**31)


def test_any_direction_can_be_written():
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Laplace(zojax.Direction):
        def draw(self, key, shape):
            return jax.random.laplace(key, shape) / np.float32(np.sqrt(2.0))

    [z] = drawn(Laplace(), {"w": jnp.zeros((300, 300))})
    assert_mean(z**2, 1.0)
