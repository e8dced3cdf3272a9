"""Adds what the coordinates of a subspace have gathered to the parameters, between two periods."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from zojax._quantized import QuantizedArray, Whole, anchor, opened, wholes
from zojax._sixteen_bits import is_16_bit
from zojax.coordinates._basis import offsets, whiteners
from zojax.coordinates._gathered import Gathered
from zojax.coordinates._parts import merged, part
from zojax.coordinates._subspace_state import SubspaceState, restarted, subspace_states
from zojax.directions import GivenNoise, LeafNoise, SubspaceNoise, Uniform, key_paths
from zojax.streaming import compiler_options

# Told apart from the numbers of the bases, which the same key draws.
_STREAM = 0xF01D


def fold(params: Any, state: Any) -> tuple[Any, Any]:
    """Add the coordinates of a subspace to the parameters, if its period is over.

    For :func:`zojax.subspace` with ``in_update=False``: call it after every step, outside of
    ``jit``. It does nothing until ``refresh`` steps have been taken in the present bases. Then each
    parameter becomes W + c·U S Vᵀ, parameters of 16 bits rounded by chance, so that small updates
    land on average; S is 0 again, the bases are drawn anew, and the optimizer inside restarts its
    moments.

    Args:
      params: The parameters; their buffers are donated where it folds.
      state: The state of an optimizer with subspaces at any depth; donated likewise.

    Returns:
      ``(params, state)``, the same where nothing is due.

    Cost: where it folds, the parameters are read and written once, in the memory of a few MB;
      otherwise a number is read from the device.

    Raises:
      ValueError: ``state`` has no subspace, or a step is being traced.

    Examples:
      >>> import jax.numpy as jnp, optax, zojax
      >>> inner = zojax.mezo(1e-2, eps=1e-3, key=0)
      >>> tx = zojax.subspace(inner, rank=2, refresh=2, key=0, in_update=False)
      >>> params = {"w": jnp.ones((8, 8))}
      >>> state = tx.init(params)
      >>> for _ in range(2):
      ...     updates, state = tx.update(None, state, params, value_fn=lambda p: p["w"].sum())
      ...     params = optax.apply_updates(params, updates)  # which changes nothing
      ...     params, state = zojax.fold(params, state)
      >>> bool((params["w"] != 1).all()), float(jnp.abs(state.coordinates["w"]).max())
      (True, 0.0)
    """
    nodes = subspace_states(state)
    if not nodes:
        raise ValueError(
            "fold: state must be that of zojax.subspace(...), or of an optimizer around one, got "
            "one without."
        )
    if any(isinstance(node.count, Tracer) for node in nodes):
        raise ValueError(
            "fold: it must be called outside of jit, after the step. Within one, leave it out and "
            "give subspace in_update=True."
        )
    for node in nodes:
        if not node.plan.in_update and _is_due(node):
            moves = _moved_by(node, params)
            before = part(params, moves), node
            moved, new = _program(_both, (0, 1), *_shardings(before))(*before)
            params, state = merged(moved, moves, params), _replaced(state, node, new)
    return params, state


def folded(params: Any, state: Any) -> Any:
    """The parameters as they stand, with what a subspace has gathered: to evaluate and to save.

    Args:
      params: The parameters; they stay.
      state: The state of an optimizer with subspaces at any depth, or without any.

    Returns:
      The parameters that :func:`fold` would give, were it due. The same where there is no subspace.
      Of a quantized weight what was gathered is its offset: the integers stay, and
      :func:`zojax.quantized.dequantize` gives the sum.

    Cost: a copy of the parameters; of quantized ones r·(m + n) float32 numbers a matrix.
    """
    for node in subspace_states(state):
        params = wholes(params)
        moves = _moved_by(node, params)
        moving = part(params, moves)
        program = _program(_added, (), *_shardings(moving))
        moved = program(jax.tree.map(opened, moving), node)
        given = iter(jax.tree.leaves(moved, is_leaf=lambda x: isinstance(x, LeafNoise)))
        leaves, tree = jax.tree.flatten(params)
        params = tree.unflatten(
            [
                _standing(next(given), leaf) if moves_too else opened(leaf)
                for leaf, moves_too in zip(leaves, moves, strict=True)
            ]
        )
    return params


def _is_due(node: SubspaceState) -> bool:
    """Whether as many steps were taken as all periods so far have."""
    refresh = node.plan.refresh
    return refresh is not None and int(node.count) >= (int(node.period) + 1) * refresh


def _moved_by(node: SubspaceState, params: Any) -> list[bool]:
    """For every parameter, whether the subspace moves it."""
    mine = set(map(jax.tree_util.keystr, key_paths(node.coordinates)))
    moves = [jax.tree_util.keystr(path) in mine for path in key_paths(params)]
    if sum(moves) != len(mine):
        raise ValueError(
            "fold: params must be the tree that state was made for, got one without "
            f"{sorted(mine - set(map(jax.tree_util.keystr, key_paths(params))))[0]}."
        )
    return moves


def _replaced(state: Any, old: SubspaceState, new: SubspaceState) -> Any:
    return jax.tree.map(
        lambda node: new if node is old else node,
        state,
        is_leaf=lambda node: isinstance(node, SubspaceState),
    )


def _both(params: Any, node: SubspaceState) -> tuple[Any, SubspaceState]:
    return _added(params, node), fresh(node, params)


def _added(params: Any, node: SubspaceState) -> Any:
    leaves, tree = jax.tree.flatten(wholes(params))
    found = gathered(node, tree.unflatten(leaves))
    return tree.unflatten(
        [
            _thin(one.offset, leaf) if isinstance(leaf, QuantizedArray) else one.added(leaf)
            for one, leaf in zip(found, leaves, strict=True)
        ]
    )


def _thin(offset: LeafNoise, leaf: QuantizedArray) -> LeafNoise:
    """What is added to a quantized weight, drawn: two thin factors, or an array for an offset."""
    if not isinstance(offset, SubspaceNoise):
        return GivenNoise(offset.draw(leaf.shape))
    left, right = offset.pair(leaf.shape)
    return SubspaceNoise(None, GivenNoise(right), left, offset.seen)


def _standing(found: Any, before: Any) -> Any:
    """A parameter as it stands: what was found, or a quantized weight with it as its offset."""
    return dataclasses.replace(before.opened, offset=found) if isinstance(before, Whole) else found


# Made when it is called: the options depend on the device, which an import must not start.
@functools.cache
def _program(function: Any, donated: tuple[int, ...], tree: Any, shardings: tuple[Any, ...]) -> Any:
    """The compiled function, whose results lie where the arrays of ``tree`` lie."""
    return jax.jit(
        function,
        donate_argnums=donated,
        out_shardings=tree.unflatten(shardings),
        compiler_options=compiler_options(),
    )


def _shardings(arrays: Any) -> tuple[Any, tuple[Any, ...]]:
    leaves, tree = jax.tree.flatten(arrays)
    return tree, tuple(getattr(anchor(leaf), "sharding", None) for leaf in leaves)


def gathered(node: SubspaceState, params: Any) -> list[Gathered]:
    """What the coordinates add to each parameter that the subspace moves."""
    added = offsets(node.plan, node.key, node.period, params, node.coordinates, node.inverses)
    leaves = jax.tree.leaves(params)
    if not any(map(is_16_bit, leaves)):
        return [Gathered(offset, None) for offset in added]
    key = jax.random.fold_in(node.key, _STREAM)
    draws, _ = Uniform().at_step((), key, node.period, 1, params)
    all_chances = draws.query(0)
    return [
        Gathered(offset, chances if is_16_bit(leaf) else None)
        for offset, chances, leaf in zip(added, all_chances, leaves, strict=True)
    ]


def fresh(node: SubspaceState, params: Any) -> SubspaceState:
    """The state of the next period: other bases, and coordinates of 0.

    Args:
      node: The state.
      params: The parameters that the subspace moves; paths, shapes and the mesh are read.
    """
    period = node.period + 1
    return node._replace(
        period=period,
        coordinates=jax.tree.map(jnp.zeros_like, node.coordinates),
        inverses=whiteners(node.plan, node.key, period, params),
        inner=restarted(node.inner, node.initial),
    )
