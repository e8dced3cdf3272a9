"""The one cost of a step, against the losses that steps evaluate and what compilers count."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from quick_compile import quick_jit

import zojax
from zojax.passes import BACKWARD, FORWARD_MODE, GRADIENT, Passes, of_slopes, of_step
from zojax.planning import cost

NAMED = {
    value.__name__: value
    for value in vars(zojax.optimizers).values()
    if inspect.isfunction(value)
    and {"learning_rate", "key"} <= {*inspect.signature(value).parameters}
}
PARAMS = {"layers": {str(i): {"kernel": jnp.ones((4, 4))} for i in range(3)}}
WIDE = 256


def losses_of_a_step(name: str, **options: Any) -> int:
    """How often a step of a named optimizer evaluates its loss, counted while it runs."""
    given = {"learning_rate": 1e-3, "eps": 1e-3, "key": 0, "blocks": "layers"}
    taken = inspect.signature(NAMED[name]).parameters
    tx = NAMED[name](**{k: value for k, value in given.items() if k in taken}, **options)
    calls: list[None] = []

    def value_fn(params: Any) -> jax.Array:
        value = jnp.sum(jnp.stack(jax.tree.leaves(params)) ** 2)
        jax.debug.callback(lambda _: calls.append(None), value)
        return value

    update = quick_jit(lambda state, p: tx.update(None, state, p, value_fn=value_fn))
    jax.block_until_ready(update(tx.init(PARAMS), PARAMS))
    jax.effects_barrier()
    return len(calls)


@pytest.mark.quick
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.usefixtures("standard_promotion")  # optax's Adam and Muon
def test_every_named_optimizer_evaluates_what_it_is_said_to(name: str):
    assert losses_of_a_step(name) == of_step(name, blocks=3).forward


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mezo", {"num_queries": 3}),
        ("mezo", {"num_queries": 3, "difference": "forward"}),
        ("mezo", {"num_queries": 3, "difference": "centred"}),
        ("zo_adamu", {"num_queries": 2}),
        ("zo_sgd_conservative", {"num_queries": 2, "difference": "forward"}),
        ("forward_gradient_sgd", {"num_queries": 3}),
    ],
)
def test_queries_and_differences_count(name: str, options: dict[str, Any]):
    assert losses_of_a_step(name, **options) == of_step(name, **options).forward


@pytest.mark.quick
def test_costs_in_forward_passes():
    assert (GRADIENT.cost, of_step("mezo").cost, of_step("forward_gradient_sgd").cost) == (3, 2, 3)
    assert [of_slopes(4, d).cost for d in ("central", "forward", "centred")] == [8, 5, 4]
    assert of_step("zo_sgd_conservative", num_queries=2).cost == 7
    assert of_step("zo_sgd_blockwise", blocks=12).cost == 24
    assert Passes(5, 1, 2) + GRADIENT == Passes(6, 2, 2)
    assert Passes(6, 2, 2).cost == 6 + 2 * BACKWARD + 2 * FORWARD_MODE


def tower(params: list[jax.Array], x: jax.Array) -> jax.Array:
    for weight in params:
        x = jnp.tanh(x @ weight)
    return x.sum()


def test_the_compiler_counts_a_derivative_as_two_passes_more():
    params = [jax.ShapeDtypeStruct((WIDE, WIDE), jnp.float32) for _ in range(16)]
    x = jax.ShapeDtypeStruct((WIDE, WIDE), jnp.float32)

    def along(params: list[jax.Array], z: list[jax.Array], x: jax.Array) -> Any:
        return jax.jvp(lambda p: tower(p, x), (params,), (z,))

    def operations(function: Any, *args: Any) -> float:
        return cost(jax.jit(function).lower(*args).compile()).flops

    forward = operations(tower, params, x)
    # The first layer's input has neither gradient nor tangent: a little less than the whole.
    gradient = operations(jax.value_and_grad(tower), params, x) / forward
    assert gradient == pytest.approx(GRADIENT.cost, rel=0.05)
    # Directions of their own: along its very weights the compiler would multiply once for both.
    derivative = operations(along, params, params, x) / forward
    assert derivative == pytest.approx(of_step("forward_gradient_sgd").cost, rel=0.05)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: of_step("adam"), "of_step: optimizer must be one of mezo, .*, got 'adam'"),
        (lambda: of_step("mezo", num_queries=0), "of_step: num_queries must be >= 1, got 0"),
        (lambda: of_step("mezo", blocks=0), "of_step: blocks must be >= 1, got 0"),
        (lambda: of_slopes(0), "of_slopes: num_queries must be >= 1, got 0"),
        (lambda: of_slopes(1, "both"), "difference must be one of central, .*, got 'both'"),
    ],
)
def test_what_has_no_cost_is_refused(call: Any, message: str):
    with pytest.raises(ValueError, match=message):
        call()
