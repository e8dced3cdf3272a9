"""Products with a weight that is perturbed along a direction of low rank."""

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
from zojax.directions import LowRankNoise
from zojax.streaming._perturbed import Perturbed, wide

Labels: TypeAlias = Sequence[int]
"""Names of an array's axes, for sums over those that two arrays share."""

RANK, POINT = -1, -2


def factored_dot(eqn: core.JaxprEqn, operands: list[Any], side: int) -> list[Array]:
    """A product of x with W + scale·abᵀ as x·W + scale·(x·a)bᵀ.

    Under ``vmap`` over the points of a step W has no axis of points, so x·W stays one product.
    The sum is float32 and is rounded once, to the dtype of the result: a float32 result keeps a
    perturbation that is below the spacing of W, a bfloat16 one only what its own spacing shows.

    Args:
      eqn: The product.
      operands: Its operands, of which one is a weight perturbed along a direction of low rank,
        whose views say where its axes lie.
      side: Which one.
    """
    weight: Perturbed = operands[side]
    noise, order = cast("LowRankNoise", weight.noise), cast("tuple[int, ...]", weight.axes())
    x: Array = operands[1 - side]
    factors = [x, x]
    factors[side] = weight.viewed(weight.weight)
    # In the width of the sum below, for a product rounded before it would be rounded twice.
    out_dtype = eqn.outvars[0].aval.dtype  # pyright: ignore[reportAttributeAccessIssue]
    params = {**eqn.params, "preferred_element_type": wide(out_dtype)}
    product: Any = eqn.primitive.bind(*factors, **params)

    x_labels, seen, out = _labels(eqn.params["dimension_numbers"], side, len(order), x.ndim)
    # The labels of the axes as they lie in the weight.
    stored = [seen[order.index(axis)] for axis in range(len(order))]
    a, b = noise.factors(weight.weight.shape)
    thin = [(a, [RANK, *stored[: noise.split]]), (b, [RANK, *stored[noise.split :]])]
    # First the factor that shares the most with x: what is left of it is small.
    thin.sort(key=lambda factor: -len({*factor[1]} & {*x_labels}))
    (first, first_labels), (second, second_labels) = thin
    needed = {*out, *second_labels}
    kept = [label for label in dict.fromkeys((*x_labels, *first_labels)) if label in needed]
    inner = _project(x_labels, first_labels, kept, eqn.params["precision"])(
        x, first.astype(x.dtype)
    )
    scaled = inner * (weight.scale * noise.weight)

    def add(counter: Array, product: Array) -> Array:
        b = second + counter.astype(second.dtype)
        return product + _outer(scaled, kept, b, second_labels, out).astype(product.dtype)

    # On CPU the sum is written to memory: XLA would compute it, and the chain of sums along the
    # residual stream behind it, again in every operation that reads it.
    total: Array = lax.platform_dependent(
        product, cpu=lambda x: computed_once(add, x), default=lambda x: add(jnp.int32(0), x)
    )
    return [total.astype(out_dtype)]


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


def _outer(x: Array, x_labels: Labels, y: Array, y_labels: Labels, out: Labels) -> Array:
    """Σ x·y over the axes that are not in ``out``, float32; term by term where it is ranks alone.

    Products and sums of elements fuse into what reads them. A product of matrices would be
    written to memory, as much of it as of the result, to save little arithmetic.
    """
    if {*x_labels} & {*y_labels} - {*out} != {RANK}:
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
