"""Evolution strategies against their formulas: centred ranks of a population, and z-scores."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from draws import draws_at, loss_at
from quick_compile import quick_jit

import zojax
from zojax.slope_rules import ranks, z_scores
from zojax.testing import loss, parameters
from zojax.trajectory import Recorder


def oracle_ranks(losses: np.ndarray) -> np.ndarray:
    """Centred ranks, one loss after the other: ties share their mean rank."""
    found = [(np.sum(losses < x) + np.sum(losses <= x) - 1) / 2 for x in losses]
    centred = np.array(found) - np.mean(found)
    return centred / np.std(centred) if np.any(centred) else centred


def oracle_z_scores(losses: np.ndarray) -> np.ndarray:
    return (losses - losses.mean()) / (losses.std() + 1e-8)


def directions(tx_direction: Any, queries: int, params: Any) -> list[Any]:
    """z of every query of the first step, float64."""
    draws = draws_at(tx_direction, jax.random.key(0), jnp.int32(0), queries, params)
    leaves, tree = jax.tree.flatten(params)
    return [
        tree.unflatten(
            [
                np.asarray(z.draw(leaf.shape), np.float64)
                for z, leaf in zip(draws.query(i), leaves, strict=True)
            ]
        )
        for i in range(queries)
    ]


def losses_along(direction: Any, queries: int, params: Any, scales: tuple[float, ...]) -> Any:
    """The losses at every end of every query, [q, ends]."""
    draws = draws_at(direction, jax.random.key(0), jnp.int32(0), queries, params)
    at = loss_at(loss, params, "copy")
    found = [[float(at(draws.query(i), s)[0]) for s in scales] for i in range(queries)]
    return np.array(found)


@quick_jit
def updated(state: Any, params: Any) -> Any:
    return zojax.es(0.5, eps=0.3, key=0, population=12).update(None, state, params, value_fn=loss)


@pytest.mark.quick
def test_es_is_a_mean_of_centred_ranks_of_all_losses_times_noise():
    """Members are far from θ here, so that ranks of losses are not ranks of differences."""
    params = parameters()
    updates, state = updated(zojax.es(0.5, eps=0.3, key=0, population=12).init(params), params)
    losses = losses_along(zojax.LowRank(1), 6, params, (0.3, -0.3))
    scores = oracle_ranks(losses.reshape(-1)).reshape(6, 2)
    assert not np.allclose(scores.sum(axis=1), 0.0)  # it is no rule of differences
    weights = (scores[:, 0] - scores[:, 1]) / 2
    z = directions(zojax.LowRank(1), 6, params)
    expected = jax.tree.map(
        lambda *zs: -0.5 * np.mean([w * x for w, x in zip(weights, zs, strict=True)], axis=0), *z
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), updates, expected
    )
    np.testing.assert_allclose(zojax.last_loss(state), losses.mean(), rtol=1e-5)


def test_the_preset_is_the_formula_of_es_at_scale():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        params = {"w": jnp.linspace(-1.0, 1.0, 12, dtype=jnp.float64).reshape(4, 3)}
        tx = zojax.optimizers.es_at_scale(5e-4, eps=1e-3, key=0, population=7)

        def value_fn(p: Any) -> Any:
            return jnp.sum(jnp.sin(3.0 * p["w"]))

        updates, _ = tx.update(None, tx.init(params), params, value_fn=value_fn)
        z = directions(zojax.Gaussian(), 7, params)
        theta = np.asarray(params["w"])
        rewards = np.array([-np.sum(np.sin(3.0 * (theta + 1e-3 * x["w"]))) for x in z])
        scores = oracle_z_scores(rewards)
        expected = 5e-4 / 7 * sum(s * x["w"] for s, x in zip(scores, z, strict=True))
        np.testing.assert_allclose(updates["w"], expected, rtol=1e-5, atol=1e-10)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("rule", "oracle"), [(ranks(), oracle_ranks), (z_scores(), oracle_z_scores)]
)
@pytest.mark.parametrize(
    "losses", [[3.0, -1.0, 0.5, 0.25], [2.0, 1.0, 1.0, 1.0, 5.0], [0.1] * 30, [7.0], [0.0, 1.0]]
)
def test_scores_follow_the_formula(rule: Any, oracle: Any, losses: list[float]):
    found, _ = rule.update(jnp.asarray(losses), rule.init(None))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, oracle(np.array(losses)), rtol=1e-5, atol=1e-6)
    if len({*losses}) > 1:
        assert abs(float(found.mean())) < 1e-6
        assert abs(float(found.std()) - 1) < 1e-6
    else:
        assert not found.any()


@pytest.mark.quick
@pytest.mark.parametrize("rule", [ranks(), z_scores()])
def test_a_loss_that_is_not_usable_takes_no_part(rule: Any):
    losses = jnp.array([3.0, jnp.nan, 0.5, jnp.inf, 1.0])
    found, _ = rule.update(losses, rule.init(None), usable=jnp.isfinite(losses))
    others, _ = rule.update(losses[jnp.array([0, 2, 4])], rule.init(None))
    np.testing.assert_array_equal(found[jnp.array([0, 2, 4])], others)
    np.testing.assert_array_equal(found[jnp.array([1, 3])], 0.0)


def with_the_loss(tx: Any, change: Any) -> Any:
    """Parameters after three steps with a function of the loss in its place, and the slopes."""
    params, slopes = parameters(), []
    state = tx.init(params)

    @quick_jit
    def step(params: Any, state: Any) -> Any:
        recorder = Recorder()
        updates, state = tx.update(
            None, state, params, value_fn=lambda p: change(loss(p)), meter=recorder
        )
        return optax.apply_updates(params, updates), state, recorder.scalars

    for _ in range(3):
        params, state, found = step(params, state)
        slopes.append(found)
    return params, np.stack(slopes), state


@pytest.mark.parametrize("change", [jnp.log, lambda x: 1e6 * x, lambda x: -1.0 / x])
def test_an_increasing_function_of_the_losses_changes_no_bit(change: Any):
    tx = zojax.es(1e-2, eps=1e-2, key=0, population=8)
    plain, slopes, _ = with_the_loss(tx, lambda x: x)
    changed, others, _ = with_the_loss(tx, change)
    np.testing.assert_array_equal(slopes, others)
    jax.tree.map(np.testing.assert_array_equal, plain, changed)


def test_the_log_has_the_shaped_slopes():
    _, slopes, _ = with_the_loss(zojax.es(1e-2, eps=1e-2, key=0, population=8), lambda x: x)
    assert slopes.shape == (3, 4)
    # Half the difference of two of 8 centred ranks: a multiple of a half over their deviation.
    steps = slopes * np.std(np.arange(8.0)) * 2
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-5)
    assert 0 < np.abs(steps).max() <= 7  # no ε has divided them


def test_a_pair_of_which_a_member_fails_is_left_out_and_the_others_are_averaged():
    tx = zojax.es(1.0, eps=1e-2, key=0, population=8, batched=False, evaluation="in_place")
    params, calls, recorder = parameters(), [], Recorder()

    def fails(p: Any) -> Any:
        calls.append(1)
        return jnp.float32(jnp.nan) if len(calls) == 3 else loss(p)

    updates, state = tx.update(None, tx.init(params), params, value_fn=fails, meter=recorder)
    losses = losses_along(zojax.LowRank(1), 4, params, (1e-2, -1e-2))
    scores = oracle_ranks(losses[[0, 2, 3]].reshape(-1)).reshape(3, 2)
    weights = (scores[:, 0] - scores[:, 1]) / 2
    np.testing.assert_allclose(recorder.scalars, np.insert(weights, 1, np.nan), rtol=1e-5)
    z = directions(zojax.LowRank(1), 4, params)
    expected = -np.mean([w * z[i]["matrix"] for w, i in zip(weights, (0, 2, 3), strict=True)], 0)
    np.testing.assert_allclose(updates["matrix"], expected, rtol=1e-4, atol=1e-6)
    assert int(state[0].skipped) == 1


@pytest.mark.parametrize("shaping", ["ranks", "spread", None])
def test_equal_losses_move_nothing(shaping: Any):
    tx = zojax.es(1.0, eps=1e-2, key=0, population=4, shaping=shaping)
    params = parameters()
    updates, _ = tx.update(
        None, tx.init(params), params, value_fn=lambda p: jnp.float32(0.1) + 0.0 * loss(p)
    )
    assert all(bool((u == 0).all()) for u in jax.tree.leaves(updates))


@pytest.mark.quick
def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match="es: population must be even, got 5"):
        zojax.es(1e-3, key=0, population=5)
    with pytest.raises(ValueError, match='es: population must be >= 4 for shaping="spread", got 2'):
        zojax.es(1e-3, key=0, population=2, shaping="spread")
    with pytest.raises(ValueError, match="es_at_scale: population must be >= 2, got 1"):
        zojax.optimizers.es_at_scale(key=0, population=1)
    with pytest.raises(ValueError, match="mezo: difference must be 'central' or 'centred'"):
        zojax.mezo(1e-3, eps=1e-3, key=0, difference="forward", slope_rule="ranks")
    for make, why in (
        (lambda: zojax.one_point(1e-3, key=0, slope_rule="ranks"), "a step has one loss"),
        (lambda: zojax.blockwise(1e-3, key=0, slope_rule="z_scores"), "one by one"),
        (lambda: zojax.forward_gradient(key=0, slope_rule="ranks"), "slopes are derivatives"),
    ):
        with pytest.raises(ValueError, match=rf"slope_rule must be one of slopes.*{why}"):
            make()
