"""The promises of directions, and their checks."""

import copy
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zojax._types import Array
from zojax.directions import ElementwiseDirection, SampledDirection
from zojax.testing._promises import Suite, require, require_equal, require_unbiased, run

_DRAWS = 20_000
_SHAPES = ((), (3,), (4, 3), (2, 3, 4))


def check_direction(direction: SampledDirection, promises: Iterable[str] | None = None) -> None:
    """Check that a direction keeps the promises that zojax's directions keep.

    Args:
      direction: The direction.
      promises: Some of :data:`DIRECTION_PROMISES`; None checks all of them.

    Cost: about a second, for 20,000 draws of 16 numbers.

    Raises:
      BrokenPromiseError: An AssertionError that names the first broken promise, and how it fails.
      ValueError: ``promises`` contains an unknown promise.
      TypeError: ``direction`` is no :class:`zojax.directions.SampledDirection`.

    Examples:
      >>> import zojax, zojax.testing
      >>> zojax.testing.check_direction(zojax.Rademacher())
    """
    given: Any = direction
    if not isinstance(given, SampledDirection):
        raise TypeError(
            f"check_direction: direction must be a zojax.directions.SampledDirection, got "
            f"{direction!r}. What depends on other steps is checked in an optimizer: "
            f"check_optimizer(lambda: zojax.mezo(..., direction=...))."
        )
    run("check_direction", _SUITE, direction, promises)


def _draws_shapes(direction: SampledDirection) -> None:
    for shape in _SHAPES:
        z = direction.draw(jax.random.key(0), shape)
        require(
            z.shape == shape and z.dtype == jnp.float32,
            f"For a leaf of shape {shape} it draws {z.dtype}{list(z.shape)}.",
        )


def _equals_copies(direction: SampledDirection) -> None:
    other = copy.deepcopy(direction)
    # jit finds compiled programs by equality and hash.
    same = direction == other and hash(direction) == hash(other)
    require(same, "A copy of it is not equal to it: make it a frozen dataclass.")


def _depends_on_the_key(direction: SampledDirection) -> None:
    for shape in _SHAPES:
        # Without jit, because a compiled draw would repeat a number that does not come from the
        # key.
        with jax.disable_jit():
            once, again = (direction.draw(jax.random.key(0), shape) for _ in range(2))
        require_equal(once, again, f"Two draws {list(shape)} from one key differ.")
        other = direction.draw(jax.random.key(1), (8, *shape))
        same = np.array_equal(direction.draw(jax.random.key(0), (8, *shape)), other)
        require(not same, f"Two keys draw the same numbers for {[8, *shape]}.")


def _makes_each_element_alone(direction: SampledDirection) -> None:
    if not isinstance(direction, ElementwiseDirection):
        return
    bits = jax.random.bits(jax.random.key(0), (6, 5))
    alone = jnp.array([[direction.from_bits(bit) for bit in row] for row in bits])
    # Not exactly equal: they are compiled as different programs, so the last bits may differ.
    near = np.allclose(direction.from_bits(bits), alone, rtol=1e-5, atol=1e-6)
    require(near, "from_bits of an array is not from_bits of each of its elements.")


def _has_unit_moments(direction: SampledDirection) -> None:
    params = {"matrix": jnp.zeros((4, 3)), "vector": jnp.zeros(3), "scalar": jnp.zeros(())}
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = [
        f"{jax.tree_util.keystr(path)}[{i}]" for path, leaf in leaves for i in range(leaf.size)
    ]

    def draw(count: Array) -> Array:
        noises = direction.at_step((), jax.random.key(0), count, 1, params)[0].query(0)
        parts = [
            jnp.ravel(noise.draw(leaf.shape))
            for noise, (_, leaf) in zip(noises, leaves, strict=True)
            if noise is not None
        ]
        return jnp.concatenate(parts)

    z = np.asarray(jax.jit(jax.vmap(draw))(jnp.arange(_DRAWS)))
    require_unbiased(z, np.zeros(len(names)), "The mean of z at", names.__getitem__)
    first, second = np.triu_indices(len(names))
    require_unbiased(
        z[:, first] * z[:, second],
        first == second,
        "The mean product of z at",
        lambda pair: f"{names[first[pair]]} and {names[second[pair]]}",
    )


_SUITE: Suite = {
    "draw float32 of the leaf's shape": _draws_shapes,
    "equal its copies": _equals_copies,
    "depend on the key alone": _depends_on_the_key,
    "make each element from its own bits": _makes_each_element_alone,
    "have mean 0 and the identity as second moment": _has_unit_moments,
}
DIRECTION_PROMISES = tuple(_SUITE)
"""The promises that :func:`check_direction` checks, each worded to follow "it must"."""
