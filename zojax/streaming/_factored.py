"""Products with a weight that is perturbed along a direction with thin factors."""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jax.extend import core

from zojax._types import Array
from zojax._xla import computed_once
from zojax.directions import LowRankNoise, SubspaceNoise
from zojax.streaming._perturbed import Multiply, Perturbed, formed_dot, tiled_dot, wide

Labels: TypeAlias = Sequence[int]
"""Names of an array's axes, for sums over those that two arrays share."""

Thin: TypeAlias = LowRankNoise | SubspaceNoise

RANK, POINT = -1, -2
MOST_TERMS = 4
"""Sums over more ranks of a subspace are products of matrices."""


def factored_dot(eqn: core.JaxprEqn, operands: list[Any], side: int) -> Array:
    """A product of x with W + scale·aᵀTb as x·W + scale·(x·aᵀ)Tb.

    Under ``vmap`` over the points of a step W has no axis of points, so x·W stays one product.
    The sum is float32 and is rounded once, to the dtype of the result: a float32 result keeps a
    perturbation that is below the spacing of W, a bfloat16 one only what its own spacing shows.

    Args:
      eqn: The product.
      operands: Its operands, of which one is a weight perturbed along a direction with thin
        factors, whose views say where its axes lie.
      side: Which one.
    """
    weight: Perturbed = operands[side]
    noise, order = cast("Thin", weight.noise), cast("tuple[int, ...]", weight.axes())
    x: Array = operands[1 - side]
    factors = [x, x]
    factors[side] = weight.base()
    # In the width of the sum below, for a product rounded before it would be rounded twice.
    out_dtype = eqn.outvars[0].aval.dtype  # pyright: ignore[reportAttributeAccessIssue]
    params = {**eqn.params, "preferred_element_type": wide(out_dtype)}
    product: Any = eqn.primitive.bind(*factors, **params)

    x_labels, seen, out = _labels(eqn.params["dimension_numbers"], side, len(order), x.ndim)
    # The labels of the axes as they lie in the weight.
    stored = [seen[order.index(axis)] for axis in range(len(order))]
    a, core, b = noise.factors(weight.weight.shape)
    split = a.ndim - 1
    thin = [(a, [RANK, *stored[:split]], 0), (b, [RANK, *stored[split:]], 1)]
    # First the factor that shares the most with x: what is left of it is small.
    thin.sort(key=lambda factor: -len({*factor[1]} & {*x_labels}))
    (first, first_labels, end), (second, second_labels, _) = thin
    needed = {*out, *second_labels}
    kept = [label for label in dict.fromkeys((*x_labels, *first_labels)) if label in needed]
    # Where it has the precision of x, x need not be made wider.
    seen_by = x.dtype if noise.few_bits[end] else jnp.promote_types(x.dtype, first.dtype)
    project = _project(x_labels, first_labels, kept, eqn.params["precision"])
    inner = project(x.astype(seen_by), first.astype(seen_by))
    in_terms = isinstance(noise, LowRankNoise) or len(second) <= MOST_TERMS
    scaled = weight.scale * _between(core, inner, kept.index(RANK), end)

    def add(counter: Array, product: Array) -> Array:
        b = second + counter.astype(second.dtype)
        added = _outer(scaled, kept, b, second_labels, out, in_terms=in_terms)
        return product + added.astype(product.dtype)

    # On CPU the sum is written to memory: XLA would compute it, and the chain of sums along the
    # residual stream behind it, again in every operation that reads it.
    total: Array = lax.platform_dependent(
        product, cpu=lambda x: computed_once(add, x), default=lambda x: add(jnp.int32(0), x)
    )
    return total.astype(out_dtype)


def dot_in_subspace(eqn: core.JaxprEqn, operands: list[Any], side: int) -> Array:
    """A product with a weight that has an offset in a subspace, in the way that is the cheapest."""
    weight, x = operands[side], operands[1 - side]
    if _forms_weight(eqn, side, weight, x):
        return _formed_or_factored(eqn, side, weight, x)
    return _factored(eqn, operands, side)


def _forms_weight(eqn: core.JaxprEqn, side: int, weight: Perturbed, x: Array) -> bool:
    """Whether W + z is cheaper on a CPU than two thin products with x: of float32, by many rows.

    W + z is m·n numbers, and thin products are m + n for each row of x. In 16 bits the sum would
    round away what a product still shows.
    """
    out_dtype = eqn.outvars[0].aval.dtype  # pyright: ignore[reportAttributeAccessIssue]
    if min(weight.weight.dtype.itemsize, out_dtype.itemsize) < 4:
        return False
    m, n = cast("SubspaceNoise", weight.noise).seen.sizes(weight.weight.shape)
    contracted = eqn.params["dimension_numbers"][0][1 - side]
    rows = x.size // math.prod(x.shape[axis] for axis in contracted)
    return rows > m * n // (m + n)


def _factored(eqn: core.JaxprEqn, operands: list[Any], side: int) -> Array:
    """As :func:`factored_dot`, a part of a large weight at a time, for the sum is float32."""
    tiles = tiled_dot(eqn, operands, side, factored_dot)
    return factored_dot(eqn, operands, side) if tiles is None else tiles[0]


def _formed(eqn: core.JaxprEqn, operands: list[Any], side: int) -> Array:
    """A product with W + z, which is formed; a part of it at a time where it is large."""
    tiles = tiled_dot(eqn, operands, side)
    return formed_dot(eqn, operands, side) if tiles is None else tiles[0]


def _formed_or_factored(eqn: core.JaxprEqn, side: int, weight: Perturbed, x: Array) -> Array:
    """A product of x with W + z, which is formed on a CPU and not on other platforms.

    Nor is it under ``vmap`` over the points of a step, which share x·W.
    """
    leaves, tree = jax.tree.flatten((weight.noise, weight.weight, weight.scale))

    def by(multiply: Multiply, x: Array, *given: Array) -> Array:
        noise, array, scale = jax.tree.unflatten(tree, given)
        one = dataclasses.replace(weight, noise=noise, weight=array, scale=scale)
        return multiply(eqn, [one, x] if side == 0 else [x, one], side)

    @custom_vmap
    def product(*args: Array) -> Array:
        on_cpu, elsewhere = partial(by, _formed), partial(by, _factored)
        return lax.platform_dependent(*args, cpu=on_cpu, default=elsewhere)

    @product.def_vmap
    def batched(  # pyright: ignore[reportUnusedFunction]
        size: int, is_batched: Sequence[bool], *args: Array
    ) -> tuple[Array, bool]:
        del size
        axes = [0 if one else None for one in is_batched]
        return jax.vmap(partial(by, _factored), axes)(*args), True

    return product(x, *leaves)


def _between(core: Array | float | None, inner: Array, axis: int, end: int) -> Array:
    """What x has met of one factor, times T: a number, or a matrix whose axis ``end`` it meets."""
    if core is None:
        return inner
    if not isinstance(core, jax.Array):
        return inner * core
    product = jnp.tensordot(inner, core, ((axis,), (end,)), precision=lax.Precision.HIGHEST)
    return jnp.moveaxis(product, -1, axis)


def _labels(dims: Any, side: int, rank: int, x_rank: int) -> tuple[Labels, Labels, Labels]:
    """Labels for the axes of x, of what the product sees of the weight, and of the result."""
    (contracting, batch), ranks = dims, [x_rank, x_rank]
    ranks[side] = rank
    left = list(range(ranks[0]))
    right = [ranks[0] + axis for axis in range(ranks[1])]
    for axes, others in (contracting, batch):
        for axis, other in zip(axes, others, strict=True):
            right[other] = left[axis]
    kept_left = [x for i, x in enumerate(left) if i not in {*contracting[0], *batch[0]}]
    kept_right = [x for i, x in enumerate(right) if i not in {*contracting[1], *batch[1]}]
    out = [*(left[axis] for axis in batch[0]), *kept_left, *kept_right]
    return (right, left, out) if side == 0 else (left, right, out)


def _project(x_labels: Labels, a_labels: Labels, out: Labels, precision: Any) -> Any:
    """``project(x, a)``, a sum of products, which under ``vmap`` has a rule of its own."""

    @custom_vmap
    def project(x: Array, a: Array) -> Array:
        return _sum(x, x_labels, a, a_labels, out, precision)

    @project.def_vmap
    def batched(  # pyright: ignore[reportUnusedFunction]
        size: int, is_batched: list[bool], x: Array, a: Array
    ) -> tuple[Array, bool]:
        if not all(is_batched):
            axes = [0 if batched else None for batched in is_batched]
            plain = partial(
                _sum, x_labels=x_labels, y_labels=a_labels, out=out, precision=precision
            )
            return jax.vmap(lambda x, a: plain(x, y=a), axes)(x, a), True
        # Each point's x by all points' a, of which each point keeps its own: one product in the
        # layout of x·W, where a product for each point would have x laid out again.
        other = POINT - 1
        all_ = _sum(x, [POINT, *x_labels], a, [other, *a_labels], [POINT, *out, other], precision)
        return jax.vmap(lambda one, point: one[..., point])(all_, jnp.arange(size)), True

    return project


def _outer(
    x: Array, x_labels: Labels, y: Array, y_labels: Labels, out: Labels, *, in_terms: bool
) -> Array:
    """Σ x·y over the axes that are not in ``out``, float32; in terms where it is ranks alone.

    Products and sums of elements fuse into what reads them. A product of matrices is written to
    memory, as much of it as of the result, but compiles sooner where there are many ranks.
    """
    if {*x_labels} & {*y_labels} - {*out} != {RANK} or not in_terms:
        return _sum(x, x_labels, y, y_labels, out, None)

    def spread(array: Array, labels: Labels) -> Array:
        """The array with the axes [r, *out], of size 1 where it has none."""
        order = [label for label in (RANK, *out) if label in labels]
        array = lax.transpose(array, [list(labels).index(label) for label in order])
        missing = [i for i, label in enumerate((RANK, *out)) if label not in labels]
        return lax.expand_dims(array, missing)

    left, right = spread(x, x_labels), spread(y, y_labels)
    terms = [left[i] * right[i] for i in range(left.shape[0])]
    return sum(terms[1:], terms[0])


def _sum(
    x: Array, x_labels: Labels, y: Array, y_labels: Labels, out: Labels, precision: Any
) -> Array:
    """Σ x·y over the axes that are not in ``out``, float32."""
    shared = [label for label in x_labels if label in y_labels]
    batch = [label for label in shared if label in out]
    summed = [label for label in shared if label not in out]

    def axes(labels: Labels) -> tuple[list[int], list[int]]:
        place = list(labels).index
        return [place(label) for label in summed], [place(label) for label in batch]

    (x_summed, x_batch), (y_summed, y_batch) = axes(x_labels), axes(y_labels)
    result = lax.dot_general(
        x,
        y,
        ((x_summed, y_summed), (x_batch, y_batch)),
        precision=precision,
        preferred_element_type=jnp.float32,
    )
    order = [*batch, *(label for label in (*x_labels, *y_labels) if label not in shared)]
    return lax.transpose(result, [order.index(label) for label in out])
