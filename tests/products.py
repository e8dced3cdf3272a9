"""Products with a weight, and what a streamed loss sees of them."""

import jax
import jax.numpy as jnp
from draws import draws_at, loss_at
from quick_compile import quick_jit

import zojax

# Each product keeps another axis of the weight, with and without a transposition before it.
GAUSSIAN = zojax.Gaussian()

PRODUCTS = {
    "x @ w": ((24, 70), lambda x, w: x @ w),
    "x @ w.T": ((70, 24), lambda x, w: x @ w.T),
    "w @ x": ((70, 24), lambda x, w: w @ x.T),
    "heads": ((24, 7, 10), lambda x, w: jnp.einsum("bd,dhk->bhk", x, w)),
    "batched": ((5, 24, 70), lambda x, w: jnp.einsum("bd,nde->nbe", x, w)),
}


def product_at(evaluation, product, w, direction=GAUSSIAN):
    """The product as the loss sees it at w + 0.1·z."""
    seen = []
    x = jnp.linspace(-1.0, 1.0, 3 * 24, dtype=w.dtype).reshape(3, 24)

    def value_fn(params):
        y = product(x, params["w"])
        jax.debug.callback(seen.append, y)
        return jnp.zeros(())

    loss = loss_at(value_fn, {"w": w}, evaluation)
    draws = draws_at(direction, jax.random.key(1), jnp.int32(5), 1, {"w": w})
    quick_jit(lambda draws: loss(draws.query(0), 0.1))(draws)
    jax.effects_barrier()
    return seen[0]
