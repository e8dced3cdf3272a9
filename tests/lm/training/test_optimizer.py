"""Optimizers made from settings: they move parameters the right way."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_compile import quick_jit
from sets import slow_except

import zojax
from zojax.lm.training import (
    DEFAULTS,
    FinetuneConfig,
    HyperParameters,
    make_optimizer,
    make_step,
    resolve,
)

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

PARAMS = {
    "layers": {
        str(layer): {
            "kernel": np.full((3, 4), 2.0, np.float32),
            "bias": np.full(4, 2.0, np.float32),
        }
        for layer in range(2)
    }
}


def optimizer_of(name: str, steps: int = 100, **hyper: object):
    return make_optimizer(
        resolve(FinetuneConfig(optimizer=name, steps=steps, hyper=HyperParameters(**hyper))), PARAMS
    )


def run(optimizer, loss, steps: int):
    step = make_step(optimizer, lambda params, batch: loss(params))
    params = jax.tree.map(jnp.asarray, PARAMS)
    state = jax.jit(optimizer.tx.init)(params)
    for _ in range(steps):
        compiled = step if optimizer.in_place else quick_jit(step)
        params, state, outcome = compiled(params, state, None)
    if optimizer.zeroth_order:  # what the log's header says is what a step has
        assert outcome.scalars.shape == (sum(field.size for field in optimizer.fields),)
    return params, outcome.loss


def square(params) -> jax.Array:
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))


DESCENDING: dict[str, dict[str, object]] = {
    "mezo": {"learning_rate": 0.2, "direction": "rademacher", "difference": "forward"},
    "zo_adamu": {"learning_rate": 1e-2, "slope_rule": "none"},
    "zo_sgd_sign": {"learning_rate": 0.05},
    "zo_sgd_momentum": {"learning_rate": 1e-3, "slope_rule": "none"},
    "zo_sgd_conservative": {"learning_rate": 0.2, "num_queries": 2},
    "zo_sgd_blockwise": {"learning_rate": 0.02, "in_turn": False},
    "zo_adam": {"learning_rate": 0.1, "direction": "low_rank"},
    "zo_adamm": {"learning_rate": 0.1, "b2": 0.9},
    "forward_gradient_sgd": {"learning_rate": 0.2},
    "adam": {"learning_rate": 0.1},
    "sgd": {"learning_rate": 0.1, "momentum": 0.5, "schedule": "linear"},
}


@pytest.mark.parametrize(
    ("name", "hyper"),
    slow_except(
        {name: (name, hyper) for name, hyper in DESCENDING.items()},
        # With settings of each kind; by name the others descend in test_contract and in gallery.
        *("mezo", "zo_adamu", "zo_sgd_conservative", "zo_sgd_blockwise", "zo_adam", "sgd"),
    ),
)
def test_every_optimizer_descends(name: str, hyper: dict[str, object]):
    _, value = run(optimizer_of(name, **hyper), square, 60)
    assert float(value) < 0.7 * 128.0


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in DEFAULTS if name != "zo_sgd_blockwise"])
def test_weight_decay_touches_matrices_alone(name: str):
    optimizer = optimizer_of(name, weight_decay=0.5, learning_rate=0.1)
    params, _ = run(optimizer, lambda params: 0.0 * square(params), 1)
    layer, before = params["layers"]["1"], PARAMS["layers"]["1"]
    # A conservative step is taken only where the loss falls, and here it does not.
    decayed = 1.0 if name == "zo_sgd_conservative" else 0.95
    np.testing.assert_allclose(layer["kernel"], decayed * before["kernel"], rtol=1e-6)
    np.testing.assert_array_equal(layer["bias"], before["bias"])


@pytest.mark.quick
@pytest.mark.parametrize(
    ("schedule", "last"), [("constant", 1.0), ("linear", 0.19), ("cosine", 0.122)]
)
def test_schedules_end_with_the_steps(schedule: str, last: float):
    optimizer = optimizer_of("sgd", steps=10, learning_rate=1.0, schedule=schedule)
    params = {"bias": jnp.zeros(1)}
    state = optimizer.tx.init(params)
    for _ in range(10):
        updates, state = optimizer.tx.update({"bias": jnp.ones(1)}, state, params)
    np.testing.assert_allclose(updates["bias"], -last, atol=1e-3)
    for _ in range(3):  # those of a run that is extended
        updates, state = optimizer.tx.update({"bias": jnp.ones(1)}, state, params)
    np.testing.assert_allclose(updates["bias"], -1.0 if schedule == "constant" else -0.1, rtol=1e-6)


@pytest.mark.parametrize("name", DEFAULTS)
def test_runs_that_differ_in_rate_or_seed_share_a_program(name: str):
    def program(rate: float, seed: int) -> str:
        config = FinetuneConfig(optimizer=name, seed=seed, hyper=HyperParameters(rate))
        optimizer = make_optimizer(resolve(config), PARAMS)
        step = make_step(optimizer, lambda params, batch: square(params))
        return jax.jit(step).lower(PARAMS, optimizer.tx.init(PARAMS), None).as_text()

    assert program(1e-3, 0) == program(3e-2, 1)


def test_the_seed_decides_the_directions():
    first, again, other = (
        run(
            make_optimizer(resolve(FinetuneConfig(optimizer="mezo", seed=seed)), PARAMS), square, 1
        )[0]["layers"]["0"]["kernel"]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.quick
def test_phases_are_fractions_in_order():
    with pytest.raises(ValueError, match=r"phases must be fractions .* got \(0.5, 0.2\)"):
        optimizer_of("zo_adamu", phases=(0.5, 0.2))


@pytest.mark.parametrize("rounding", ["stochastic", "compensated"])
def test_updates_of_16_bits_land(rounding: str):
    """At a rate whose updates bfloat16 loses, parameters move, and the loss falls."""
    ends: dict[str, Any] = {}
    for name in ("nearest", rounding):
        optimizer = optimizer_of("mezo", learning_rate=3e-4, eps=0.1, rounding=name)
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), PARAMS)
        state = jax.jit(optimizer.tx.init)(params)

        def loss(params, batch):
            return square(jax.tree.map(lambda x: x.astype(jnp.float32), params))

        step = quick_jit(make_step(optimizer, loss))
        for _ in range(200):
            params, state, _ = step(params, state, None)
        ends[name] = float(loss(params, None))
    assert ends["nearest"] == 128.0
    assert ends[rounding] < 127.5


@pytest.mark.parametrize(
    ("changes", "by_chance"),
    [
        ({}, False),
        ({"dtype": "bfloat16"}, True),
        ({"dtype": "float16", "optimizer": "adam"}, True),
        ({"dtype": "bfloat16", "hyper": HyperParameters(rounding="nearest")}, False),
        ({"dtype": "bfloat16", "hyper": HyperParameters(subspace_rank=2)}, False),
    ],
)
def test_parameters_of_16_bits_are_rounded_by_chance_by_default(changes: Any, by_chance: bool):
    config = resolve(FinetuneConfig(**changes))
    state = make_optimizer(config, PARAMS).tx.init(PARAMS)
    assert ("StochasticRoundingState" in str(jax.tree.structure(state))) == by_chance


def test_a_first_order_step_takes_no_gradient_of_what_is_frozen():
    """Where that gradient is not finite, the step would be skipped."""
    optimizer = optimizer_of("sgd", learning_rate=0.1)
    tx = zojax.select(optimizer.tx, "adapter/*")
    params = {"model": {"w": jnp.zeros(3)}, "adapter": {"w": jnp.ones(3)}}

    def loss(params: Any, batch: Any) -> Any:
        return jnp.sqrt(params["model"]["w"]).sum() + (params["adapter"]["w"] ** 2).sum()

    step = quick_jit(make_step(optimizer._replace(tx=tx), loss, branch="adapter"))
    moved, _, outcome = step(params, tx.init(params), None)
    np.testing.assert_allclose(moved["adapter"]["w"], 0.8)
    np.testing.assert_array_equal(moved["model"]["w"], 0.0)
    assert outcome.scalars.tolist() == [0.0]
