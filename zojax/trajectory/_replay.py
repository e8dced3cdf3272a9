"""Rebuilds parameters from the scalars of a log, without data or forward passes."""

from __future__ import annotations

from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from zojax._types import Params
from zojax.coordinates import fold, folded, subspace_states
from zojax.streaming import compiler_options
from zojax.trajectory._fingerprint import fingerprint
from zojax.trajectory._header import Header, key_parts
from zojax.trajectory._log import Log
from zojax.trajectory._meters import Player


class Replayer:
    """Replays the steps of an optimizer; the step is compiled once.

    Args:
      tx: The optimizer. Its updates must be functions of keys, parameters and the scalars that a
        :class:`Recorder` records: it must use neither gradients nor a loss that is measured in
        another way.
      compiled: Whether the run's own steps were compiled. It matters because separate operations
        round intermediate results that a compiled program does not.
    """

    def __init__(self, tx: optax.GradientTransformation, *, compiled: bool = True) -> None:
        self._tx = optax.with_extra_args_support(tx)
        donated = jax.jit(self._one, donate_argnums=(0, 1), compiler_options=compiler_options())
        self._step = donated if compiled else self._one

    def take(self, params: Any, state: Any, scalars: np.ndarray) -> tuple[Any, Any]:
        """Take the steps of ``scalars``, float32 [n, k]; the buffers of both trees are donated.

        A subspace that updates do not fold is folded after the step at which it is due.
        """
        # The compiled program is one step, not a loop over steps. XLA would hoist what is constant
        # over the steps out of a loop, which changes the fusions, and therefore the rounding.
        folds = any(not node.plan.in_update for node in subspace_states(state))
        for row in scalars:
            params, state = self._step(params, state, row)
            if folds:
                params, state = fold(params, state)
        return params, state

    def _one(self, params: Params, state: Any, scalars: Array) -> tuple[Params, Any]:
        updates, state = self._tx.update(
            None,  # pyright: ignore[reportArgumentType] - an estimator needs no gradient
            state,
            params,
            value_fn=_refuse,
            meter=Player(jnp.asarray(scalars)),
        )
        return optax.apply_updates(params, updates), state


def replay(
    tx: optax.GradientTransformation,
    params: Params,
    log: Log,
    *,
    until: int | None = None,
    base: Params | None = None,
    compiled: bool = True,
) -> Params:
    """Rebuild the parameters that a run had after a step, to the bit.

    Args:
      tx: The optimizer of the run, with the same settings and the key ``log.header.prng_key()``.
      params: The parameters before the first step; they are not changed.
      log: The log, from :func:`zojax.trajectory.read_log`.
      until: The step; None means the last one of the log.
      base: The part of ``params`` whose SHA-256 the header has, which does not include an adapter;
        None means all of ``params``.
      compiled: Whether the run's own steps were compiled: see :class:`Replayer`.

    Cost: each step draws its directions once and evaluates no loss; one compilation.
    Error: none if the backend rounds as that of the run did: with the same version of jax on the
      same kind of device.

    Raises:
      ValueError: The SHA-256 of the parameters is not that of the log, ``tx`` has another key,
        ``until`` is outside the log, or the updates of ``tx`` need more than the log has.
    """
    steps = len(log.scalars) if until is None else until
    if not 0 <= steps <= len(log.scalars):
        raise ValueError(
            f"replay: until must lie within 0 … {len(log.scalars)}, the steps of the log, got "
            f"{steps}."
        )
    found = fingerprint(params if base is None else base)
    if found != log.header.base:
        raise ValueError(
            f"replay: params must be those that the log starts from, with SHA-256 "
            f"{log.header.base[:12]}..., got {found[:12]}.... Load that model, in that dtype."
        )
    state = jax.jit(tx.init)(params)
    _check_key(state, log.header)
    copy = jax.tree.map(jnp.copy, params)
    params, state = Replayer(tx, compiled=compiled).take(copy, state, log.scalars[:steps])
    return folded(params, state)


def _check_key(state: Any, header: Header) -> None:
    """Refuse an optimizer that would draw other directions; one that draws none has no key."""
    keys = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]
    found = [key_parts(key) for key in keys]
    # A chain of several estimators may have several keys, of which the header has one.
    if found and (header.key, header.key_impl) not in found:
        raise ValueError(
            f"replay: tx must have the key of the run, {header.key} of {header.key_impl}, got "
            f"{', '.join(f'{data} of {impl}' for data, impl in found)}. Make it with "
            f"key=log.header.prng_key()."
        )


def _refuse(_: Any) -> NoReturn:
    raise ValueError(
        "replay: tx must be an optimizer whose updates depend only on keys and the log's scalars, "
        "got one that also evaluates value_fn. Its runs can only be resumed from checkpoints."
    )
