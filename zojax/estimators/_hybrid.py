"""Zeroth order for the shallow part of a model, back-propagation for the deep part."""

from __future__ import annotations

from numbers import Number
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zojax import _check
from zojax._asking import Asking
from zojax._mesh import laid_out
from zojax._not_parameters import refuse_others
from zojax._types import Array, HasAux, Params, ValueFn
from zojax._xla import tied
from zojax.coordinates import (
    Blocks,
    Where,
    check_blocks,
    find_blocks,
    merged,
    part,
    select,
    selected,
)


class HybridState(NamedTuple):
    """State of :func:`hybrid`."""

    zo: Any  # the zeroth-order optimizer's
    fo: Any  # the first-order optimizer's


def hybrid(
    zo: optax.GradientTransformation,
    fo: optax.GradientTransformation,
    split: int | Where,
    *,
    blocks: Blocks = "layers",
    has_aux: HasAux = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Tunes the shallow part of a model without gradients and the deep part with them.

    .. math::
        \theta_S \leftarrow \theta_S + u_{zo}, \qquad
        \theta_D \leftarrow \theta_D + u_{fo}(\nabla_{\theta_D} L(\theta; B))

    Both updates are computed at the same θ. The gradient is taken for the deep part alone, so
    back-propagation ends where the deep part begins, and no activation of the shallow part is
    kept for it. Where the loss or its gradient is not finite, the deep part and its optimizer's
    state stay as they were.

    Args:
      zo: A zeroth-order optimizer of zojax, with its learning rate.
      fo: A first-order optimizer of optax, with its learning rate; it may also use ``value``,
        ``grad`` and ``value_fn``.
      split: How many of the first layers ``zo`` tunes, together with the embeddings; ``fo`` tunes
        the other layers, the final norm and the head. Or what :func:`zojax.select` takes, to name
        the part that ``zo`` tunes. Embeddings tied to the head are one parameter, and shallow.
      blocks: What a number counts: ``"layers"``, found from the numbers in the paths, or the blocks
        of ``blocks(path, leaf)``, as :func:`zojax.blockwise` takes it, of which ``zo`` then tunes
        the first ``split`` and nothing else. Paths in which it is not plain which parameters are
        layers, or come before or after them, need it: those of a model with an encoder and a
        decoder, say.
      has_aux: Whether ``value_fn`` returns a pair (loss, aux), which ``zo`` must have been told as
        well; the back-propagation drops aux.

    Returns:
      An optimizer whose ``update`` needs ``params`` and a ``value_fn`` that JAX can differentiate;
      the updates that it is given are ignored and may be ``None``.

    Cost: the forward passes of ``zo``, and a forward and a backward pass of which only the deep
      part's activations and gradients are kept. State: that of each for its own part.
    Error: each part has that of its own optimizer.

    Raises:
      ValueError: ``split`` leaves either part empty, the layers to count are not plain to find,
        ``blocks`` are given and ``split`` is no number, or ``update`` got no ``params``.
      TypeError: ``zo`` or ``fo`` is no optimizer, ``split`` or ``blocks`` is something else, or
        ``value_fn`` is not given.

    References:
      Zhang et al., 2024, arXiv:2402.11592, Section 6 (hybrid zeroth- and first-order training).

    Examples:
      >>> import jax.numpy as jnp, optax, zojax
      >>> tx = zojax.hybrid(zojax.mezo(1e-3, eps=1e-3, key=0), optax.sgd(1e-1), split=1)
      >>> params = {"layers": [jnp.ones(2), jnp.ones(2)]}
      >>> updates, _ = tx.update(
      ...     None, tx.init(params), params, value_fn=lambda p: (p["layers"][1] ** 2).sum()
      ... )
      >>> [round(float(update), 3) for update in updates["layers"][1]]  # the gradient is 2
      [-0.2, -0.2]
    """
    _check.transformation("hybrid", "zo", zo)
    _check.transformation("hybrid", "fo", fo)
    check_blocks("hybrid", blocks)
    # Anything else is for select, which finds at init whether it fits the parameters.
    if split is None or isinstance(split, Number | np.ndarray | jax.Array):
        _check.count("hybrid", "split", split)
    elif callable(blocks):
        raise ValueError(
            f"hybrid: blocks must not be given where split names parameters, got {split!r}. Give "
            f"the number of blocks that zo tunes as split."
        )
    first_order = optax.with_extra_args_support(fo)

    def zeroth_order(params: Params) -> tuple[optax.GradientTransformationExtraArgs, list[bool]]:
        """``zo`` for the shallow part, and which leaves the deep part has."""
        shallow = _shallow(split, blocks, params)
        leaves, tree = jax.tree.flatten(params)
        # Integers belong to neither part: they have no gradient.
        deep = [
            not here and jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
            for here, leaf in zip(shallow, leaves, strict=True)
        ]
        if not any(deep):
            raise ValueError(
                f"hybrid: split must leave some parameters for back-propagation, got {split!r}, "
                f"which takes all. Use zo alone."
            )
        return select(zo, jax.tree.unflatten(tree, shallow)), deep

    def init(params: Params) -> HybridState:
        _check.parameters("hybrid", params)
        refuse_others("hybrid", params)
        for_shallow, deep = zeroth_order(params)
        return HybridState(for_shallow.init(params), first_order.init(part(params, deep)))

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_fn: ValueFn | None = None,
        obj_fn: ValueFn | None = None,
        asking: Asking | None = None,
        **extra_args: Any,
    ) -> tuple[Any, HybridState]:
        del updates
        if asking is not None:
            raise ValueError(
                "hybrid: ask_tell must not be used with gradients, which no loss at a point tells. "
                "Use select around zo."
            )
        _check.parameters("hybrid", params)
        loss_fn = _check.loss_given("hybrid", _check.loss_function("hybrid", value_fn, obj_fn))
        for_shallow, deep = zeroth_order(params)
        updates, zo_state = for_shallow.update(
            None,  # pyright: ignore[reportArgumentType] - an estimator needs no gradient
            state.zo,
            params,
            value_fn=loss_fn,
            **extra_args,
        )

        def loss(moving: Any) -> Array:
            whole = merged(moving, deep, params)
            return _check.value_and_aux("hybrid", loss_fn(whole), has_aux)[0]

        moving = _after(part(params, deep), zo_state)
        value, gradient = jax.value_and_grad(loss)(moving)
        deep_updates, fo_state = first_order.update(
            gradient,
            state.fo,
            moving,
            **{**extra_args, "value": value, "grad": gradient, "value_fn": loss},
        )
        usable = jnp.isfinite(value) & jnp.isfinite(optax.tree_utils.tree_norm(gradient))
        nothing = jax.tree.map(lambda x: jnp.full_like(x, -0.0), deep_updates)
        deep_updates, fo_state = jax.tree.map(
            lambda new, old: jnp.where(usable, new, old),
            (deep_updates, fo_state),
            (nothing, state.fo),
        )
        return merged(deep_updates, deep, updates), HybridState(zo_state, fo_state)

    return laid_out(optax.GradientTransformationExtraArgs(init, update))


def _shallow(split: int | Where, blocks: Blocks, params: Params) -> list[bool]:
    if not isinstance(split, int | np.integer):
        return selected("hybrid", split, params)
    fix = "Give blocks, a function of path and leaf, or name what zo tunes as split."
    found = find_blocks("hybrid", params, blocks, fix)
    ends = () if callable(blocks) else ("embeddings", "head")
    counted = [block for block in found if block.name not in ends]
    if split > len(counted):
        kind = "blocks" if callable(blocks) else "layers"
        raise ValueError(
            f"hybrid: split must be <= {len(counted)}, the number of {kind}, got {split}."
        )
    before = [block for block in found if block.name == "embeddings" and block.name in ends]
    taken = before + counted[: int(split)]
    leaves = {leaf for block in taken for leaf in block.leaves}
    return [leaf in leaves for leaf in range(len(jax.tree.leaves(params)))]


def _after(moving: Any, state: Any) -> Any:
    """The deep part, which cannot be used before the zeroth-order losses are known.

    If both were computed at the same time, they would need the memory of both. XLA often orders
    them in this way anyway; the barrier makes sure.
    """
    scalars = [
        leaf
        for leaf in jax.tree.leaves(state)
        if leaf.shape == () and jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    moving, _ = tied(moving, scalars)
    return moving
