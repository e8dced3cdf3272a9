"""Under differentiation, functions with derivatives of their own keep them when streamed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from quick_compile import quick_jit
from sets import slow_except

import zojax


@jax.custom_jvp
def straight_through(w):
    return jnp.round(w)


@straight_through.defjvp
def straight_through_jvp(primals, tangents):
    return straight_through(*primals), tangents[0]


@jax.custom_jvp
def log1pexp(w):
    # Where exp overflows, the derivative of this as it is written is NaN.
    return jnp.where(w > 80.0, w, jnp.log(1.0 + jnp.exp(w)))


@log1pexp.defjvp
def log1pexp_jvp(primals, tangents):
    [w], [tangent] = primals, tangents
    return log1pexp(w), (1.0 - 1.0 / (1.0 + jnp.exp(w))) * tangent


@jax.custom_jvp
def quantized_product(x, w):
    return x @ jnp.round(w)


@quantized_product.defjvp
def quantized_product_jvp(primals, tangents):
    x, w = primals
    return quantized_product(x, w), tangents[0] @ jnp.round(w) + x @ tangents[1]


@jax.custom_vjp
def tripled(w):
    return 3.0 * w


tripled.defvjp(lambda w: (tripled(w), None), lambda _, g: (3.0 * g,))

X = np.linspace(-1.0, 1.0, 16, dtype=np.float32).reshape(2, 8)

LOSSES = {
    "round": lambda p: jnp.sum(X @ straight_through(p["w"])),
    "log1pexp where exp overflows": lambda p: jnp.sum(X @ log1pexp(p["large"])),
    "round of a vector": lambda p: jnp.sum(straight_through(p["b"])),
    "round of a cast": lambda p: jnp.sum(straight_through(p["w"].astype(jnp.bfloat16).T)[0]).astype(
        jnp.float32
    ),
    "with an activation": lambda p: jnp.sum(quantized_product(jnp.asarray(X), p["w"])),
    "jit": lambda p: jnp.sum(jax.jit(lambda w: X @ straight_through(w))(p["w"])),
    "checkpoint": lambda p: jnp.sum(jax.checkpoint(lambda w: X @ straight_through(w))(p["w"])),
    "scan over layers": lambda p: jnp.sum(
        lax.scan(lambda x, w: (x @ straight_through(w), None), jnp.asarray(X), p["stack"])[0]
    ),
    "scan with a constant": lambda p: jnp.sum(
        lax.scan(lambda x, _: (x @ straight_through(p["w"]), None), jnp.asarray(X), None, 2)[0]
    ),
    "cond": lambda p: lax.cond(
        X[1, 1] > 0, lambda w: jnp.sum(X @ straight_through(w)), jnp.sum, p["w"]
    ),
    "one within another": lambda p: jnp.sum(X @ log1pexp(straight_through(p["w"]))),
}


def params():
    keys = jax.random.split(jax.random.key(0), 3)
    return {
        "large": 100.0 * jax.random.normal(keys[2], (8, 8)),
        "b": 2.0 * jax.random.normal(keys[0], (8,)),
        "stack": 2.0 * jax.random.normal(keys[1], (3, 8, 8)),
        "w": 2.0 * jax.random.normal(keys[2], (8, 8)),
    }


def estimated(loss, evaluation, direction):
    """The gradient's estimate: the slope along z, times z."""
    tx = zojax.forward_gradient(key=0, direction=direction, evaluation=evaluation)

    @quick_jit
    def estimate(params):
        return tx.update(None, tx.init(params), params, value_fn=loss)[0]

    return jax.tree.leaves(estimate(params()))


DIRECTIONS = {"Gaussian": zojax.Gaussian(), "LowRank": zojax.LowRank()}


@pytest.mark.parametrize(
    ("name", "direction"),
    slow_except(
        {
            f"{name}-{d}": (name, direction)
            for name in LOSSES
            for d, direction in DIRECTIONS.items()
        },
        *(f"{name}-Gaussian" for name in LOSSES),
        # Factors reach a rule of one's own through a product with it, and through a loop.
        *("with an activation-LowRank", "scan over layers-LowRank"),
    ),
)
def test_a_function_keeps_its_own_derivative(name, direction):
    streamed = estimated(LOSSES[name], "streamed", direction)
    copied = estimated(LOSSES[name], "copy", direction)
    assert all(bool(jnp.all(jnp.isfinite(leaf) & (leaf != 0))) for leaf in copied)
    for one, other in zip(streamed, copied, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("evaluation", ["streamed", "copy"])
def test_a_reverse_rule_alone_cannot_be_taken_forward(evaluation):
    with pytest.raises(TypeError, match=r"forward-mode .* custom_vjp"):
        estimated(lambda p: jnp.sum(X @ tripled(p["w"])), evaluation, zojax.Gaussian())


def test_differences_of_losses_stream_through_functions_with_derivatives_of_their_own():
    @jax.custom_jvp
    def lookup(table):
        return jnp.sum(table[jnp.array([5, 7])])

    lookup.defjvp(lambda primals, tangents: (lookup(*primals), jnp.sum(tangents[0])))
    table = jnp.zeros((100_000, 64))
    tx = zojax.spsa(1e-3, key=0)

    def value(table):
        return tx.update(None, tx.init(table), table, value_fn=lookup)[1].value

    compiled = jax.jit(value).lower(table).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < table.nbytes / 10
