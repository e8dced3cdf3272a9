"""The state of an optimizer in a subspace, and what of it restarts in a new one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from zojax._types import Array
from zojax.coordinates._subspace_plan import Plan


class SubspaceState(NamedTuple):
    """State of :func:`zojax.subspace`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: updates taken
    key: Array  # typed key []: constant
    period: Array  # int32 []: the number of the bases
    coordinates: Any  # like the parameters: S, or an offset, float32; None for integers
    inverses: Any  # for each leaf (L⁻¹, L⁻¹) of both sides; None where there is none
    inner: Any  # of the optimizer inside
    initial: tuple[Array, ...]  # the leaves of the first `inner`, at which moments restart
    plan: Plan  # what does not change


def subspace_states(state: Any) -> list[SubspaceState]:
    """The states of subspaces within an optimizer's state; not those within one another."""
    nodes = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, SubspaceState))
    return [node for node in nodes if isinstance(node, SubspaceState)]


def has_rested(state: Any) -> Array | bool:
    """Whether the last step of the optimizer inside has measured nothing, and so moved nothing."""
    nodes = jax.tree.leaves(state, is_leaf=lambda node: hasattr(node, "rested"))
    found = [node.rested for node in nodes if hasattr(node, "rested")]
    return jnp.stack(found).all() if found else False


def restarted(state: Any, initial: Sequence[Array]) -> Any:
    """The state of the optimizer inside, for coordinates that are 0 again.

    Moments of other coordinates mean nothing to these, so they restart, with their counts and
    whatever an estimator's direction keeps. What counts the steps of the run goes on: keys, the
    counts of estimators and schedules, and what is remembered of losses and slopes.

    Args:
      state: Of the optimizer inside.
      initial: The leaves of its first state.
    """
    return _restarted(state, jax.tree.unflatten(jax.tree.structure(state), initial))


def _restarted(state: Any, first: Any) -> Any:
    if hasattr(state, "restarted"):  # one of zojax's own, which knows
        return state.restarted(first)
    if isinstance(state, optax.ScaleByScheduleState):
        return state
    if isinstance(state, optax.InjectStatefulHyperparamsState):
        return state._replace(inner_state=_restarted(state.inner_state, first.inner_state))
    if isinstance(state, tuple):
        parts = [_restarted(old, new) for old, new in zip(state, first, strict=True)]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return first
