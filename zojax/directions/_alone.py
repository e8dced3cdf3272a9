"""Results that are computed once, into memory of their own."""

from collections.abc import Callable
from typing import TypeVar

import jax.numpy as jnp
from jax import lax

from zojax._types import Array

Tree = TypeVar("Tree")


def alone(function: Callable[[Array, Tree], Tree], x: Tree) -> Tree:
    """``function(turn, x)``, fused with nothing around it, in the memory of ``x`` if it is free.

    XLA computes what is cheap again in every operation that reads it, which multiplies the size
    of a program. It does not look into a loop. This one has a single turn, and the barrier
    keeps that from XLA, which would dissolve the loop otherwise. What does not depend on ``turn``,
    which is 0, may still be computed before the loop, and a barrier is no dependence.
    """

    def turned(turn: Array | int, x: Tree) -> Tree:
        # A Python int under jax.disable_jit.
        return function(jnp.asarray(turn, jnp.int32), x)

    return lax.fori_loop(0, lax.optimization_barrier(1), turned, x)
