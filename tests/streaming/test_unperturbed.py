"""Frozen weights and what a loss closes over are tied to the point at which they are used."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

import zojax

pytestmark = pytest.mark.quick

# A shape that nothing else has.
SHAPE = (24, 37)


def updated(params: Any, base: Any, optimizer: Any = zojax.mezo, **options: Any) -> Any:
    """An update of the bias alone, along a frozen weight and one that the loss closes over."""
    tx = zojax.select(optimizer(1e-2, key=0, **options), "bias")

    def value_fn(p):
        y = jnp.linspace(-1.0, 1.0, SHAPE[0]) @ p["frozen"] + p["bias"]
        return jnp.sum((y @ base["w"].T) ** 2) + base["counts"].sum().astype(jnp.float32)

    return tx.update(None, tx.init(params), params, value_fn=value_fn)[0]


def params_and_base() -> tuple[Any, Any]:
    w = jax.random.normal(jax.random.key(0), SHAPE)
    base = {"w": w + 1, "counts": jnp.arange(3)}
    return {"frozen": w, "bias": jnp.ones(SHAPE[1])}, base


def equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jax.tree.leaves(
            [*eqn.params.values()], is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")
        ):
            if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                yield from equations(getattr(inner, "jaxpr", inner))


def test_what_is_the_same_at_all_points_is_tied_to_each():
    program = jax.make_jaxpr(lambda params, base: updated(params, base, eps=1e-3))(
        *params_and_base()
    )
    loops = [eqn for eqn in equations(program.jaxpr) if eqn.primitive.name == "scan"]
    tied = {
        variable
        for loop in loops
        for eqn in equations(loop.params["jaxpr"].jaxpr)
        if eqn.primitive.name == "optimization_barrier"
        for variable in eqn.outvars
        if variable.aval.shape == SHAPE
    }
    assert len(tied) == 2


def test_a_forward_gradient_gets_no_zeros_of_their_size():
    # The derivative of a tie would be one for each array in it.
    program = jax.make_jaxpr(
        lambda params, base: updated(params, base, zojax.forward_gradient_sgd)
    )(*params_and_base())
    made = [
        eqn
        for eqn in equations(program.jaxpr)
        if eqn.primitive.name == "broadcast_in_dim" and eqn.outvars[0].aval.shape == SHAPE
    ]
    assert not made


@pytest.mark.parametrize("difference", ["central", "forward"])
def test_the_update_is_that_of_a_copy(difference):
    params, base = params_and_base()
    streamed, copied = (
        updated(params, base, eps=1e-3, difference=difference, evaluation=evaluation)
        for evaluation in ("streamed", "copy")
    )
    np.testing.assert_allclose(streamed["bias"], copied["bias"], rtol=1e-3)
    assert not np.any(streamed["frozen"])


def test_a_loss_may_close_over_a_reference():
    params, tx = {"w": jnp.ones((4, 4))}, zojax.mezo(1e-2, eps=1e-3, key=0)
    vector = jax.new_ref(jnp.arange(4.0))

    def step(params, state, read):
        return tx.update(None, state, params, value_fn=lambda p: jnp.sum(p["w"] @ read()))[0]

    found, expected = (
        jax.jit(lambda params, state, read=read: step(params, state, read))(params, tx.init(params))
        for read in (lambda: vector[...], lambda: jnp.arange(4.0))
    )
    np.testing.assert_allclose(found["w"], expected["w"], rtol=1e-6)
