"""Bounds on the parameters."""

from __future__ import annotations

from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import optax

from zojax import _check
from zojax._types import Array, Params


def keep_in_box(lower: Any = None, upper: Any = None) -> optax.GradientTransformation:
    r"""Clips updates that would leave a box.

    .. math::
        u \leftarrow \mathrm{clip}(\theta + u,\ l,\ h) - \theta

    This is the projection onto the box in the Mahalanobis norm of any diagonal matrix, as
    ZO-AdaMM needs it for :math:`\sqrt{\hat v}`. The projection of y is the x of the box that has
    the least :math:`\sum_i \sqrt{\hat v_i}\,(x_i - y_i)^2`. Each term has its own coordinate and
    its own bounds, so each is least by itself, where x_i is the nearest to y_i within them; a
    positive weight does not change which that is. So the norm does not matter: the projection is
    elementwise clipping. (For a ball or a simplex it would matter.)

    Args:
      lower, upper: l and h in parameter units: numbers, or trees of arrays like the parameters;
        ``None`` for no bound.

    Returns:
      A link to put last in a chain, after the learning rate; ``update`` needs ``params``.

    Cost: a few elementwise operations; no state.
    Error: the new parameters respect the bounds to a rounding of their dtype, and a bound of 0
      exactly.

    Raises:
      ValueError: ``lower`` exceeds ``upper``, either is NaN, or ``update`` got no ``params``.
      TypeError: either is neither numbers nor arrays.

    References:
      Chen et al., 2019, arXiv:1910.06513, Section 3.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> params, updates = jnp.array([0.5, 1.0]), jnp.array([-1.0, 1.0])
      >>> tx = zojax.rules.keep_in_box(0.0, 4.0)
      >>> tx.update(updates, tx.init(params), params)[0].tolist()
      [-0.5, 1.0]
    """
    _check_bound("lower", lower)
    _check_bound("upper", upper)
    numbers = isinstance(lower, Real) and isinstance(upper, Real)
    if numbers and not lower <= upper:
        raise ValueError(f"keep_in_box: lower must be <= upper, got {lower} and {upper}.")

    def init(params: Params) -> optax.EmptyState:
        del params
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        _check.params_given("keep_in_box", params)
        leaves, tree = jax.tree.flatten(updates)
        bounds = zip(_like(lower, params), _like(upper, params), strict=True)
        kept = [
            _kept(update, parameter, low, high)
            for update, parameter, (low, high) in zip(
                leaves, jax.tree.leaves(params), bounds, strict=True
            )
        ]
        return jax.tree.unflatten(tree, kept), state

    return optax.GradientTransformation(init, update)


def _check_bound(name: str, bound: Any) -> None:
    for leaf in jax.tree.leaves(bound):
        number = not isinstance(leaf, bool) and isinstance(leaf, Real)
        dtype: Any = getattr(leaf, "dtype", bool)
        array = jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)
        if not (number or array):
            raise TypeError(
                f"keep_in_box: {name} must be a number, an array or a tree of these, got {leaf!r}."
            )
        if number and leaf != leaf:
            raise ValueError(f"keep_in_box: {name} must be a number, got {leaf!r}.")


def _like(bound: Any, params: Any) -> list[Any]:
    """One bound for each parameter."""
    if bound is None or jax.tree_util.treedef_is_leaf(jax.tree.structure(bound)):
        return [bound] * len(jax.tree.leaves(params))
    return jax.tree.leaves(jax.tree.map(lambda _, leaf: leaf, params, bound))


def _kept(update: Array, parameter: Array, low: Any, high: Any) -> Array:
    dtype = jnp.result_type(parameter)
    if not jnp.issubdtype(dtype, jnp.floating):
        return update
    wide = jnp.float64 if dtype == jnp.float64 else jnp.float32
    start = jnp.asarray(parameter).astype(wide)
    low, high = (None if x is None else jnp.asarray(x).astype(wide) for x in (low, high))
    stepped = start + update.astype(wide)
    kept = jnp.clip(stepped, low, high)
    # Inside of the box the update is returned as it is: (−0.0) − (−0.0) is 0.0, and adding that
    # would turn a −0.0 into 0.0.
    return jnp.where(kept == stepped, update, (kept - start).astype(update.dtype))
