"""The bases of a subspace: orthonormal, Haar, of unit scale, and new in each period."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zojax
from zojax.coordinates._basis import factors, offsets, whiteners
from zojax.coordinates._subspace_plan import Plan, stacked, usual_matrices
from zojax.directions import Matrices

KEY = jax.random.key(7)
CLOSE = dict(rtol=1e-5, atol=1e-5)


def of_unit(shape: tuple[int, ...], rank: int, period: int = 0, **choices: Any) -> Any:
    """From S to its offset of one matrix, and the shape of S."""
    plan = Plan(rank, choices.get("sides", "both"), choices.get("basis", "haar"), None, True)
    params = {"w": jnp.zeros(shape)}
    plan = plan.of(params, choices.get("matrix"))
    number = jnp.int32(period)
    inverses = whiteners(plan, KEY, number, params)

    def offset(s: Any) -> Any:
        [noise] = offsets(plan, KEY, number, params, {"w": s}, inverses)
        return noise.draw(shape)

    return offset, plan.coordinates(shape, plan.seen[0])


@pytest.mark.quick
@pytest.mark.parametrize(
    ("shape", "rank"),
    [((256, 96), 16), ((64, 64), 16), ((70, 64), 60), ((40, 33), 33), ((16, 16), 16), ((9, 3), 8)],
)
def test_columns_are_orthonormal(shape: tuple[int, int], rank: int):
    offset, (left, right) = of_unit(shape, rank)
    # Offsets of the elements of S alone are c·uvᵀ of all pairs of columns: an orthonormal system.
    each = jnp.eye(left * right).reshape(-1, left, right)
    flat = np.asarray(jax.vmap(offset)(each), np.float64).reshape(left * right, -1)
    c = np.sqrt(shape[0] * shape[1] / (left * right))
    np.testing.assert_allclose(flat @ flat.T / c**2, np.eye(left * right), atol=3e-5)


@pytest.mark.quick
def test_stacks_of_one_shape_have_their_own_inverses():
    """They are drawn together: each leaf's L⁻¹ makes its own factor orthonormal."""
    leaves = {"a": jnp.zeros((3, 70, 64)), "b": jnp.zeros((3, 64, 70)), "c": jnp.zeros((3, 70, 64))}
    params = {"layers": leaves}
    plan = Plan(8, "both", "haar", None, True).of(params, None)
    number = jnp.int32(0)
    pairs = factors(plan, KEY, number, params)
    inverses = whiteners(plan, KEY, number, params)
    for leaf, pair, of_leaf in zip(leaves.values(), pairs, inverses, strict=True):
        for factor, inverse, size in zip(pair, of_leaf, leaf.shape[1:], strict=True):
            assert factor is not None
            rows = np.asarray(inverse @ factor.draw((3, 8, size)), np.float64)
            eye = np.broadcast_to(np.eye(8), (3, 8, 8))
            np.testing.assert_allclose(rows @ rows.swapaxes(1, 2), eye, atol=1e-5)


def test_a_factor_is_orthonormal_to_5e_6():
    offset, (left, _) = of_unit((2048, 1), 16)  # V is ±1
    u = np.asarray(jax.vmap(offset)(jnp.eye(left)[..., None]), np.float64)[:, :, 0]
    u /= np.sqrt(2048 / 16)
    assert np.abs(u @ u.T - np.eye(16)).max() < 5e-6


def test_the_factor_is_haar():
    """Traces of orthogonal matrices: of Haar's, E tr = 0, E tr² = 1, E tr⁴ = 3.

    With the signs of a decomposition that does not fix them, E tr would be far from 0.
    """
    size, draws = 6, 3000
    plan = Plan(size, "left", "haar", None, True)
    params = {"w": jnp.zeros((size, 1))}
    plan = plan.of(params, lambda *_: (0, 1))

    def orthogonal(period: Any) -> Any:
        inverses = whiteners(plan, KEY, period, params)
        columns = jnp.eye(size)[:, :, None]

        def column(s: Any) -> Any:
            [noise] = offsets(plan, KEY, period, params, {"w": s}, inverses)
            return noise.draw((size, 1))[:, 0]

        return jax.vmap(column)(columns)

    u = np.asarray(jax.jit(jax.vmap(orthogonal))(jnp.arange(draws)), np.float64)
    np.testing.assert_allclose(
        u @ np.swapaxes(u, 1, 2), np.tile(np.eye(size), (draws, 1, 1)), atol=1e-3
    )
    # A rotation of its own changes nothing of the law.
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
    for each in (u, u @ rotation):
        traces = np.trace(each, axis1=1, axis2=2)
        error = draws**-0.5
        assert abs(traces.mean()) < 4 * error
        assert abs((traces**2).mean() - 1) < 4 * 2**0.5 * error
        assert abs((traces**4).mean() - 3) < 4 * 96**0.5 * error


@pytest.mark.parametrize("basis", ["haar", "gaussian"])
@pytest.mark.parametrize("sides", ["both", "left", "right", "diagonal"])
def test_a_unit_of_s_is_a_unit_of_weight(sides: str, basis: str):
    """The root mean square change of a weight is that of an element of S."""
    shape = (48, 80)
    squares: list[float] = []
    for period in range(24):
        offset, size = of_unit(shape, 4, period, sides=sides, basis=basis)
        s = jax.random.normal(jax.random.key(period), size)
        squares.append(float(jnp.mean(offset(s) ** 2)))
    mean, error = np.mean(squares), np.std(squares, ddof=1) / 24**0.5
    assert abs(mean - 1) < 4 * error
    assert error < 0.2


@pytest.mark.quick
def test_periods_and_leaves_have_bases_of_their_own():
    first, size = of_unit((32, 32), 4)
    second, _ = of_unit((32, 32), 4, period=1)
    s = jnp.ones(size)
    a, b = (np.asarray(x(s)).ravel() for x in (first, second))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.2
    np.testing.assert_array_equal(a, np.asarray(first(s)).ravel())
    tx = zojax.subspace(zojax.mezo(1e-2, eps=1e-2, key=0), rank=2, refresh=None, key=0)
    state = tx.init({"a": jnp.zeros((32, 32)), "b": jnp.zeros((32, 32))})
    (left_a, _), (left_b, _) = state.inverses
    assert not np.allclose(left_a, left_b)


def test_a_stack_has_bases_for_each_layer_and_its_parts_are_those_of_the_whole():
    shape = (3, 24, 40)
    plan = Plan(4, "both", "haar", None, True)
    params = {"layers": {"w": jnp.zeros(shape)}}
    plan = plan.of(params, None)
    assert plan.seen == (Matrices(1, 1),)
    inverses = whiteners(plan, KEY, jnp.int32(0), params)
    s = jax.random.normal(KEY, plan.coordinates(shape, plan.seen[0]))
    [noise] = offsets(plan, KEY, jnp.int32(0), params, {"layers": {"w": s}}, inverses)
    whole = noise.draw(shape)
    assert not np.allclose(whole[0], whole[1])
    parts = noise.slices(shape)
    for layer in range(3):
        one = noise.slice(jax.tree.map(lambda x, i=layer: x[i], parts))
        np.testing.assert_allclose(one.draw(shape[1:]), whole[layer], **CLOSE)
        block = one.block(shape[1:], 0, jnp.int32(5), 7)
        np.testing.assert_allclose(block, whole[layer, 5:12], **CLOSE)
        block = one.block(shape[1:], 1, jnp.int32(3), 9)
        np.testing.assert_allclose(block, whole[layer, :, 3:12], **CLOSE)
        rows = one.rows(shape[1:], jnp.array([[0, 3], [23, 3]]))
        np.testing.assert_allclose(rows, whole[layer][np.array([[0, 3], [23, 3]])], **CLOSE)
    np.testing.assert_allclose(noise.in_terms(shape), whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(noise.block(shape, 0, jnp.int32(1), 2), whole[1:], **CLOSE)
    np.testing.assert_allclose(
        noise.rows(shape, jnp.array([2, 0])), whole[np.array([2, 0])], **CLOSE
    )


@pytest.mark.parametrize("sides", ["both", "left", "right", "diagonal"])
def test_a_matrix_that_is_scanned_over_is_cut_into_its_rows(sides: str):
    offset, size = of_unit((5, 6, 8), 2, sides=sides, matrix=lambda *_: (0, 2))
    whole = offset(jax.random.normal(KEY, size))
    plan = Plan(2, sides, "haar", None, True).of({"w": jnp.zeros((5, 6, 8))}, lambda *_: (0, 2))  # pyright: ignore[reportArgumentType]
    inverses = whiteners(plan, KEY, jnp.int32(0), {"w": jnp.zeros((5, 6, 8))})
    s = {"w": jax.random.normal(KEY, size)}
    [noise] = offsets(plan, KEY, jnp.int32(0), {"w": jnp.zeros((5, 6, 8))}, s, inverses)
    parts = noise.slices((5, 6, 8))
    for row in range(5):
        one = noise.slice(jax.tree.map(lambda x, i=row: x[i], parts))
        np.testing.assert_allclose(one.draw((6, 8)), whole[row], **CLOSE)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("shape", "in_stack", "expected"),
    [
        ((12, 8, 32), True, (1, 1)),
        ((8, 32), False, (0, 1)),
        ((12, 8), True, None),
        ((64, 4, 16), False, (0, 1)),
        ((4, 16, 64), False, (0, 2)),
        ((12, 4, 16, 64), True, (1, 2)),
        ((8,), False, None),
        ((3, 3, 16, 32), False, (0, 3)),
        ((), False, None),
        ((0, 4), False, None),
    ],
)
def test_how_leaves_are_seen(shape: tuple[int, ...], in_stack: bool, expected: Any):
    assert usual_matrices(shape, in_stack) == expected


@pytest.mark.quick
def test_stacks_are_told_by_name_and_length():
    kernel, bias = jnp.ones((2, 4, 4)), jnp.ones((2, 4))
    assert stacked({"model": {"layers": {"a": {"kernel": kernel, "bias": bias}}}}) == [True] * 2
    # Layers of their own, modules of other sizes within one called layers, and other names.
    assert stacked({"layers": {"0": {"kernel": bias}, "1": {"kernel": bias}}}) == [False] * 2
    assert stacked({"layers": {"up": jnp.ones((4, 9)), "down": jnp.ones((9, 4))}}) == [False] * 2
    assert stacked({"layers": {"up": bias, "rate": jnp.ones(())}}) == [False] * 2
    assert stacked({"h": {"kernel": kernel}, "layers": kernel}) == [False] * 2


@pytest.mark.quick
def test_a_key_that_is_the_estimators_too_gives_other_numbers():
    """Else the first row of a basis would be the first numbers of the noise of that step."""
    params, rank = {"w": jnp.zeros((256, 64))}, 16
    plan = Plan(rank, "both", "haar", None, True).of(params, None)
    [(left, _)] = factors(plan, KEY, jnp.int32(0), params)
    s = {"w": jnp.zeros((rank, rank))}
    draws, _ = zojax.Gaussian().at_step((), KEY, jnp.int32(0), 1, s)
    [noise] = draws.query(0)
    assert left is not None
    assert noise is not None
    z, basis = noise.draw((rank, rank)).ravel(), left.draw((rank, 256))[0]
    assert abs(np.corrcoef(z, basis)[0, 1]) < 0.3
