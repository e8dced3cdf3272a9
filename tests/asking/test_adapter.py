"""A point's adapter is its perturbation, as thin factors."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sets import slow_except

import zojax

PARAMS = {
    "embed": jnp.linspace(-1.0, 1.0, 35).reshape(7, 5),
    "layers": {
        "kernel": jnp.linspace(0.0, 2.0, 90).reshape(3, 5, 6),
        "heads": jnp.linspace(0.0, 1.0, 120).reshape(3, 5, 2, 4),
    },
    "bias": jnp.ones(6),
    "steps": jnp.arange(2),
}


def es(**options: Any) -> Any:
    return zojax.es(0.1, eps=1e-2, key=0, population=4, **options)


OPTIMIZERS = {
    "rank 1": es(),
    "rank 3": es(rank=3),
    "select": zojax.select(es(), "layers/*"),
    "blockwise": zojax.blockwise(
        1e-2, key=0, direction="low_rank", blocks=lambda path, leaf: path[:3]
    ),
    **{
        f"subspace, {sides}": zojax.subspace(es(), rank=2, refresh=3, key=0, sides=sides)
        for sides in ("both", "left", "right", "diagonal")
    },
    "subspace in select": zojax.select(zojax.subspace(es(), rank=2, refresh=3, key=0), "layers/*"),
}


def loss(p: Any) -> float:
    return float(sum(jnp.sum(jnp.sin(x)) for x in jax.tree.leaves(p)))


@pytest.mark.parametrize(
    "name", slow_except({name: name for name in OPTIMIZERS}, "rank 3", "subspace, left")
)
def test_the_parameters_and_the_adapter_are_the_point(name: str):
    init, ask, tell = zojax.ask_tell(OPTIMIZERS[name])
    params: Any = PARAMS
    state = init(params)
    for _ in range(2):  # so that a subspace has gathered something
        params, state = tell(state, params, {p: loss(p.params(params)) for p in ask(state, params)})
    for point in ask(state, params)[:3]:
        adapter = point.adapter(params)
        moved = point.params(params)
        for path in ("embed", "layers/kernel", "layers/heads", "bias", "steps"):
            *folders, leaf = path.split("/")
            before, after = params, moved
            for folder in folders:
                before, after = before[folder], after[folder]
            added: Any = 0.0
            if path in adapter.matrices:
                factors = adapter.matrices[path]
                assert factors.a.shape[-1] == factors.b.shape[factors.stack] <= 6
                assert factors.a.dtype == factors.b.dtype == jnp.float32
                added = factors.delta()
            elif path in adapter.vectors:
                added = adapter.vectors[path]
            assert jnp.shape(added) in ((), before[leaf].shape)
            np.testing.assert_allclose(
                np.asarray(before[leaf]) + added, after[leaf], rtol=1e-5, atol=1e-6
            )
        expected = {"embed", "layers/kernel", "layers/heads"}
        expected = {p for p in expected if "select" not in name or p.startswith("layers")}
        assert {*adapter.matrices} == expected
        assert {*adapter.vectors} == ({"bias"} if "select" not in name else set())


@pytest.mark.quick
def test_the_base_of_a_forward_difference_adds_nothing():
    tx = zojax.mezo(0.1, eps=1e-2, key=0, difference="forward", direction="low_rank")
    init, ask, _ = zojax.ask_tell(tx)
    base, ahead = ask(init(PARAMS), PARAMS)
    assert base.adapter(PARAMS) == ({}, {})
    assert {*ahead.adapter(PARAMS).matrices} == {"embed", "layers/kernel", "layers/heads"}


@pytest.mark.quick
def test_a_direction_of_full_rank_has_no_adapter():
    init, ask, _ = zojax.ask_tell(zojax.mezo(0.1, eps=1e-2, key=0))
    [point, _] = ask(init(PARAMS), PARAMS)
    with pytest.raises(ValueError, match=r"^Point\.adapter: .* got 'embed' along a direction of"):
        point.adapter(PARAMS)
