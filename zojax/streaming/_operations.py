"""Operations on perturbed weights: on arrays made of them first, and the taking of rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend import core

from zojax._quantized import QuantizedArray
from zojax._types import Array
from zojax.streaming._perturbed import Perturbed, Ties, perturb

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


def gather(eqn: core.JaxprEqn, operands: list[Value], ties: Ties) -> Sequence[Value]:
    """Take rows of a weight, of which no others are perturbed."""
    table, indices = operands
    if not _takes_rows(eqn, table) or isinstance(indices, Perturbed):
        return perturb_first(eqn, operands, ties)
    if ties.shared and table.noise is not None and table.noise.in_memory:
        # Rows of z would be a second gather, and rows that lie apart are communication. Each device
        # perturbs its part of the table instead.
        return perturb_first(eqn, operands, ties)
    table, (indices,) = ties(table, [indices])
    shape = table.weight.shape
    rank = indices.ndim - 1
    weights = _rows(eqn, table.weight, indices)
    # The same gather over the row numbers says which rows its out-of-bounds mode has taken, and
    # with -1 where it has taken none.
    params = {**eqn.params, "slice_sizes": (1,) * len(shape), "fill_value": -1}
    numbers = jnp.arange(shape[0], dtype=jnp.int32).reshape((-1,) + (1,) * (len(shape) - 1))
    rows = eqn.primitive.bind(numbers, indices, **params).reshape(indices.shape[:rank])
    if table.noise is None:
        taken = dataclasses.replace(table, weight=weights).base()
    else:
        z = table.noise.rows(shape, jnp.maximum(rows, 0))
        taken = table.viewed(perturb(weights, z, table.scale))
    fill = eqn.params["fill_value"]
    if fill is None:
        return [taken]
    there = (rows >= 0).reshape(rows.shape + (1,) * (taken.ndim - rank))
    return [jnp.where(there, taken, jnp.asarray(fill, taken.dtype))]


def _rows(
    eqn: core.JaxprEqn, table: Array | QuantizedArray, indices: Array
) -> Array | QuantizedArray:
    """The rows of a table that a gather takes, not perturbed."""
    if not isinstance(table, QuantizedArray):
        return bind(eqn, [table, indices])[0]

    def rows(x: Array) -> Any:
        # What is taken from outside of the table is filled later, and need not be now.
        params = {**eqn.params, "slice_sizes": (1, *x.shape[1:]), "fill_value": 0}
        return eqn.primitive.bind(x, indices, **params)

    return jax.tree.map(rows, table)


def _takes_rows(eqn: core.JaxprEqn, table: Value) -> bool:
    """Whether a gather takes whole rows, the rows' own dimensions last, of a perturbed weight."""
    if not isinstance(table, Perturbed) or not has_rows(table):
        return False
    dims, rank = eqn.params["dimension_numbers"], table.weight.ndim
    out_rank = eqn.outvars[0].aval.ndim  # pyright: ignore[reportAttributeAccessIssue]
    return (
        all(view.primitive.name == "convert_element_type" for view in table.views)
        and eqn.params["slice_sizes"] == (1, *table.weight.shape[1:])
        and dims.collapsed_slice_dims == (0,)
        and dims.start_index_map == (0,)
        and not dims.operand_batching_dims
        and dims.offset_dims == tuple(range(out_rank - rank + 1, out_rank))
    )


def has_rows(x: Perturbed) -> bool:
    """Whether an element of the first axis can be computed alone."""
    weight = x.weight
    return x.random_access and (not isinstance(weight, QuantizedArray) or weight.has_rows())
