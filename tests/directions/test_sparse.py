"""Sparse directions: as sparse as asked, the same in probe and update, drawn afresh."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sets import slow_except

import zojax

LIMIT = 4.5  # standard errors


def params():
    keys = jax.random.split(jax.random.key(0), 3)
    return {
        "large": 5.0 * jax.random.normal(keys[0], (100, 80)),
        "ones": jnp.ones(300),
        "small": 0.1 * jax.random.normal(keys[1], (120, 100)),
    }


def total(p):
    return sum(jnp.sum(x) for x in jax.tree.leaves(p))


@pytest.mark.parametrize(
    "sparsity", [0.5, *(pytest.param(s, marks=pytest.mark.slow) for s in (0.2, 0.9))]
)
@pytest.mark.parametrize("ratios", ["equal", "magnitude"])
def test_drops_the_share_that_is_asked(sparsity, ratios):
    tx = zojax.spsa(1.0, key=3, direction=zojax.Sparse(sparsity=sparsity, ratios=ratios))
    state, sizes = tx.init(params()), {k: v.size for k, v in params().items()}
    zeros = jax.tree.map(jnp.zeros_like, params())
    update = jax.jit(lambda s: tx.update(None, s, zeros, value_fn=total)[0])
    dropped = dict.fromkeys(sizes, 0)
    steps = 20
    for count in range(steps):
        for name, leaf in update(state._replace(count=jnp.int32(count))).items():
            dropped[name] += int(jnp.sum(leaf == 0))
    drop = dict(zip(sizes, 1.0 - np.asarray(state.direction.keep, np.float64), strict=True))
    for name, size in sizes.items():
        deviation = np.sqrt(drop[name] * (1 - drop[name]) * steps * size)
        assert abs(dropped[name] - drop[name] * steps * size) <= LIMIT * deviation
    asked = sum(drop[name] * size for name, size in sizes.items()) / sum(sizes.values())
    np.testing.assert_allclose(asked, sparsity, atol=1e-5)


@pytest.mark.parametrize(
    ("sparsity", "dtype"),
    slow_except(
        {
            f"{sparsity}-{dtype}": (sparsity, dtype)
            for sparsity in (0.0, 0.1, 0.2, 0.6, 0.605, 1.0)
            for dtype in ("float32", "bfloat16")
        },
        # Both ends, and within values that are distinct and that many elements share.
        *("0.0-float32", "0.2-float32", "0.605-float32", "0.6-bfloat16", "1.0-bfloat16"),
    ),
)
def test_ratios_are_those_of_the_global_quantile(sparsity, dtype):
    p = jax.tree.map(lambda x: x.astype(dtype), params())
    tx = zojax.spsa(1.0, key=3, direction=zojax.Sparse(sparsity=sparsity))
    keep = jax.jit(tx.init)(p).direction.keep
    magnitudes = {k: np.abs(np.asarray(v, np.float64)).ravel() for k, v in p.items()}
    everything = np.sort(np.concatenate(list(magnitudes.values())))
    bound = everything[min(int(sparsity * everything.size), everything.size - 1)]
    for share, (name, values) in zip(1.0 - np.asarray(keep), magnitudes.items(), strict=True):
        low, high = np.mean(values < bound), np.mean(values <= bound)
        assert low - 1e-4 <= share <= high + 1e-4, name


@pytest.mark.quick
def test_the_mask_probed_is_the_mask_applied():
    seen = []

    def value_fn(p):
        jax.debug.callback(seen.append, p["large"], ordered=True)
        return jnp.sum(p["large"][0])

    zeros = jax.tree.map(jnp.zeros_like, params())
    tx = zojax.spsa(1.0, key=3, direction=zojax.Sparse(sparsity=0.5, ratios="equal"))
    found, _ = jax.jit(lambda s: tx.update(None, s, zeros, value_fn=value_fn))(tx.init(params()))
    jax.effects_barrier()
    plus, minus = seen
    np.testing.assert_array_equal(plus, -minus)
    slope = found["large"][np.nonzero(plus)][0] / plus[np.nonzero(plus)][0]
    np.testing.assert_allclose(found["large"], slope * plus, rtol=1e-6)
    np.testing.assert_array_equal(found["large"] == 0, plus == 0)
    assert 0.4 < np.mean(plus == 0) < 0.6


def test_masks_are_drawn_afresh_and_apart_from_z():
    tx = zojax.spsa(1.0, key=3, direction=zojax.Sparse(sparsity=0.5, ratios="equal"))
    dense = zojax.spsa(1.0, key=3)
    zeros = jax.tree.map(jnp.zeros_like, params())
    state, plain = tx.init(params()), dense.init(params())
    masks, directions = [], []
    for count in (0, 1):
        step = jnp.int32(count)
        found = tx.update(
            None, state._replace(count=step), zeros, value_fn=lambda p: jnp.sum(p["ones"])
        )[0]
        masks.append(np.asarray(found["small"] != 0, np.float64))
        directions.append(
            np.asarray(
                dense.update(
                    None, plain._replace(count=step), zeros, value_fn=lambda p: jnp.sum(p["ones"])
                )[0]["small"]
            )
        )
    # Where it is kept, z is the z of spsa.
    kept = masks[1] > 0
    ratio = np.asarray(found["small"])[kept] / directions[1][kept]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
    size = masks[0].size
    for a, b in ((masks[0], masks[1]), (masks[1], directions[1]), (masks[1], directions[1] ** 2)):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < LIMIT / np.sqrt(size)


def test_mean_is_the_kept_share_of_the_gradient():
    hessian, x = jnp.array([1.0, 4.0, 9.0]), jnp.array([1.0, -2.0, 0.5])
    tx = zojax.spsa(1e-2, key=0, direction=zojax.Sparse(sparsity=0.25, ratios="equal"))
    state = tx.init(x)

    def value_fn(v):
        return 0.5 * jnp.sum(hessian * v * v)

    def draw(count):
        return tx.update(None, state._replace(count=count), x, value_fn=value_fn)[0]

    draws = np.asarray(jax.jit(jax.vmap(draw))(jnp.arange(20_000)), np.float64)
    z_score = (draws.mean(0) - 0.75 * hessian * x) / (draws.std(0) / np.sqrt(len(draws)))
    np.testing.assert_array_less(np.abs(z_score), LIMIT)


@pytest.mark.parametrize("queries", slow_except({"1": 1, "2": 2}, "2"))
def test_every_evaluation_sees_the_same_masks(queries):
    """Through rows of a table, layers of a stack and whole weights."""
    p = {"table": jnp.ones((50, 70)), "stack": 0.1 * jnp.ones((2, 70, 70)), "bias": jnp.ones(70)}

    def loss(p):
        x = p["table"][jnp.array([3, 4])] + p["bias"][None]
        x, _ = jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, p["stack"])
        return jnp.sum(x)

    found = []
    for evaluation in ("streamed", "copy", "in_place"):
        tx = zojax.spsa(
            0.5,
            key=3,
            num_queries=queries,
            evaluation=evaluation,
            direction=zojax.Sparse(sparsity=0.5),
        )
        tx = optax.chain(tx, optax.scale(-0.1))
        found.append(tx.update(None, tx.init(p), p, value_fn=loss)[0])
    for other in found[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), found[0], other)


@pytest.mark.quick
def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"Sparse: sparsity must be within \[0, 1\], got 20"):
        zojax.spsa(1e-3, key=0, direction=zojax.Sparse(sparsity=20))
    with pytest.raises(ValueError, match="Sparse: ratios must be one of"):
        zojax.spsa(1e-3, key=0, direction=zojax.Sparse(ratios="random"))


@pytest.mark.quick
def test_what_it_is_made_of_may_be_given_by_name():
    assert zojax.Sparse(base="rademacher") == zojax.Sparse(base=zojax.Rademacher())
    assert zojax.MomentumCentred(base="sphere").base == zojax.Sphere()
    assert zojax.Sparse(base=zojax.MomentumCentred()).remembers
    assert not zojax.Sparse().remembers
    with pytest.raises(ValueError, match="Sparse: base must be one of"):
        zojax.Sparse(base="normal")
