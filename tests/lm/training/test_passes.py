"""What a step of a run costs, against the losses that it evaluates."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zojax.lm.training import (
    DEFAULTS,
    FinetuneConfig,
    HyperParameters,
    make_optimizer,
    make_step,
    passes_of_a_step,
    resolve,
)

pytestmark = pytest.mark.usefixtures("standard_promotion")

PARAMS = {"layers": {str(i): {"kernel": np.full((3, 4), 2.0, np.float32)} for i in range(2)}}


def settings(name: str, **hyper: Any) -> FinetuneConfig:
    return resolve(FinetuneConfig(optimizer=name, hyper=HyperParameters(**hyper)))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("name", "hyper", "losses"),
    [
        ("mezo", {"num_queries": 3}, 6),
        ("mezo", {"num_queries": 3, "difference": "forward"}, 4),
        ("zo_adamu", {}, 2),
        ("zo_sgd_sign", {}, 2),
        ("zo_sgd_momentum", {"num_queries": 2}, 4),
        ("zo_sgd_conservative", {}, 5),
        ("zo_sgd_conservative", {"num_queries": 3, "difference": "forward"}, 7),
        ("zo_sgd_blockwise", {}, 4),
        ("zo_adam", {"difference": "forward"}, 2),
        ("zo_adamm", {}, 2),
    ],
)
def test_losses_are_counted_as_they_are_evaluated(name: str, hyper: dict[str, Any], losses: int):
    config = settings(name, evaluation="in_place", **hyper)
    optimizer = make_optimizer(config, PARAMS)
    calls = 0

    def counted(params: Any, batch: Any) -> float:
        nonlocal calls
        calls += 1
        return float(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)))

    params = jax.tree.map(jnp.asarray, PARAMS)
    make_step(optimizer, counted)(params, optimizer.tx.init(params), None)  # pyright: ignore[reportArgumentType]
    found = passes_of_a_step(config, PARAMS)
    assert calls == found.forward == found.cost == losses


@pytest.mark.quick
def test_what_differentiates_counts_its_work():
    assert passes_of_a_step(settings("adam"), {}).cost == 3
    assert passes_of_a_step(settings("sgd"), {}).cost == 3
    forward_mode = passes_of_a_step(settings("forward_gradient_sgd", num_queries=3), {})
    assert (forward_mode.forward, forward_mode.cost) == (3, 9)


@pytest.mark.quick
def test_every_optimizer_has_a_cost():
    assert all(passes_of_a_step(settings(name), PARAMS).cost >= 2 for name in DEFAULTS)
