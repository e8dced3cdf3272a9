"""The search for a learning rate."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import zojax
from zojax import rates


def curve(best: float, finite_to: float = math.inf):
    """Losses of steps that are lowest at a rate, and not finite beyond another."""
    asked: list[float] = []

    def losses_at(rate: float) -> list[float]:
        asked.append(rate)
        if rate > finite_to:
            return [1.0, math.nan, math.nan, math.nan]
        # The first half does not count.
        return [99.0, 99.0, *[abs(math.log(rate / best))] * 2]

    return losses_at, asked


@pytest.mark.quick
@pytest.mark.parametrize("first", [1e-6, 1e-3, 1.0])
def test_the_search_walks_to_the_best_rate_and_returns_the_one_below(first: float):
    losses_at, asked = curve(1e-3)
    found = rates.search(losses_at, first, most=30)
    best = found.rates[int(np.argmin(found.losses))]
    assert best == pytest.approx(1e-3, rel=0.05)
    assert found.rate == pytest.approx(best / 10**0.5, rel=0.05)
    # Each rate once, neighbours of the best on both sides, in ascending order.
    assert len(asked) == len({*asked})
    assert sorted(asked) == [*found.rates]
    assert found.rates[0] < best < found.rates[-1]
    assert found.steps == 4 * len(asked)


def test_rates_that_diverge_send_the_search_downwards():
    losses_at, _ = curve(1e-3, finite_to=2e-3)
    found = rates.search(losses_at, 1.0, most=30)
    assert found.rate == pytest.approx(1e-3 / 10**0.5, rel=0.05)
    assert math.isinf(found.losses[-1])


def test_the_search_ends_where_no_rate_is_finite():
    losses_at, asked = curve(1.0, finite_to=0.0)
    with pytest.raises(ValueError, match="find_rate: a loss was not finite at every rate from"):
        rates.search(losses_at, 1.0, most=5)
    assert len(asked) == 5


def test_the_search_ends_at_the_most_rates_where_the_loss_only_gets_better():
    found = rates.search(lambda rate: [-rate] * 2, 1.0, most=6)
    assert len(found.rates) == 6
    assert found.rate == found.rates[-2]


def problem():
    target = jax.random.normal(jax.random.key(1), (16, 50))
    params = {"x": jnp.zeros(50)}
    return params, lambda p, t: jnp.sum((p["x"] - t) ** 2), [*target]


def mezo(rate, slope_rule="rms"):
    return zojax.mezo(rate, eps=1e-3, key=0, slope_rule=slope_rule)


def test_losses_are_those_of_steps_from_the_same_parameters():
    params, loss, batches = problem()
    found = zojax.find_rate(mezo, params, loss, batches)
    for rate, mean in zip(found.rates, found.losses, strict=True):
        tx = mezo(rate)
        update = jax.jit(
            lambda s, p, b, tx=tx: tx.update(None, s, p, value_fn=lambda q: loss(q, b))
        )
        now, state, values = params, tx.init(params), []
        for batch in batches:
            updates, state = update(state, now, batch)
            now = optax.apply_updates(now, updates)
            values.append(float(zojax.last_loss(state)))
        assert mean == pytest.approx(np.mean(values[8:]), rel=1e-4)
    assert found == zojax.find_rate(mezo, params, loss, batches)
    assert np.array_equal(params["x"], np.zeros(50))  # kept, not donated


@pytest.mark.quick
def test_in_the_unit_of_rates_the_losses_scale_does_not_matter():
    params, loss, batches = problem()
    once = zojax.find_rate(mezo, params, loss, batches)
    scaled = zojax.find_rate(mezo, params, lambda p, t: 1000.0 * loss(p, t), batches)
    assert scaled.rates == once.rates
    assert scaled.rate == once.rate
    # MeZO as published has a rate for every scale.
    plain = zojax.find_rate(lambda rate: mezo(rate, None), params, loss, batches, first=1e-2)
    small = zojax.find_rate(
        lambda rate: mezo(rate, None), params, lambda p, t: 1000.0 * loss(p, t), batches, first=1e-5
    )
    assert plain.rate == pytest.approx(1000.0 * small.rate, rel=0.1)


def test_at_the_usual_rate_a_step_has_length_one_half():
    params = {"w": jax.ShapeDtypeStruct((30, 30), jnp.bfloat16), "i": jnp.arange(5)}
    assert rates.usual_rate(params) == pytest.approx(0.5 / 30)
    assert rates.usual_rate(params, 16) == pytest.approx(4 * 0.5 / 30)
    with pytest.raises(ValueError, match="usual_rate: params must have floating-point leaves"):
        rates.usual_rate({"i": jnp.arange(5)})


def test_wrong_arguments_are_refused():
    params, loss, batches = problem()
    with pytest.raises(ValueError, match="find_rate: batches must be at least 8, got 3"):
        zojax.find_rate(mezo, params, loss, batches[:3])
    with pytest.raises(ValueError, match="find_rate: first must be > 0"):
        zojax.find_rate(mezo, params, loss, batches, first=0.0)
