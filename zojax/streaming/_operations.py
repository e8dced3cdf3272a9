"""What every rule of the interpreter may fall back to: an operation on arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
from jax.extend import core

from zojax._types import Array
from zojax.streaming._perturbed import Perturbed, Ties

Value: TypeAlias = Any
"""An array, or a :class:`Perturbed` weight."""

Rule: TypeAlias = Callable[[core.JaxprEqn, list[Value], Ties], Sequence[Value]]


def bind(eqn: core.JaxprEqn, operands: list[Value]) -> Sequence[Array]:
    """Run an operation on arrays."""
    outputs: Any = eqn.primitive.bind(*operands, **eqn.primitive.get_bind_params(eqn.params))
    return outputs if eqn.primitive.multiple_results else [outputs]


def perturb_first(eqn: core.JaxprEqn, operands: list[Value], ties: Ties) -> Sequence[Array]:
    """Run an operation on weights that are perturbed just before it."""
    # Every perturbed weight waits for the activations that it meets here.
    operands = list(operands)
    dense = [i for i, x in enumerate(operands) if isinstance(x, jax.Array)]
    for i, x in enumerate(operands):
        if isinstance(x, Perturbed):
            weight, values = ties(x, [operands[j] for j in dense])
            for j, value in zip(dense, values, strict=True):
                operands[j] = value
            operands[i] = weight.value()
    return bind(eqn, operands)
