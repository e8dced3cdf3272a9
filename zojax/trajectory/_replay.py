"""Parameters again from what their updates measured: no data and no forward pass."""

from __future__ import annotations

from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from zojax._types import Params
from zojax.streaming import compiler_options
from zojax.trajectory._fingerprint import fingerprint
from zojax.trajectory._log import Log
from zojax.trajectory._meters import Player


class Replayer:
    """Takes the steps of an optimizer again, compiled once.

    Args:
      tx: The optimizer. Its updates must be functions of keys, parameters and what a
        :class:`Recorder` notes: no gradients, and no loss that is measured otherwise.
      compiled: As the run's own steps were; operations one by one round more often than a
        program of them.
    """

    def __init__(self, tx: optax.GradientTransformation, *, compiled: bool = True) -> None:
        self._tx = optax.with_extra_args_support(tx)
        donated = jax.jit(self._one, donate_argnums=(0, 1), compiler_options=compiler_options())
        self._step = donated if compiled else self._one

    def take(self, params: Any, state: Any, scalars: np.ndarray) -> tuple[Any, Any]:
        """Take the steps of ``scalars``, float32 [n, k]; the memory of both trees is taken too."""
        # A program of one step, not a loop of many: what is constant over the steps would be
        # computed before a loop, which changes what is fused with what, and so what is rounded.
        for row in scalars:
            params, state = self._step(params, state, row)
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
      tx: The optimizer of the run, with the same settings; its key is ``log.header.prng_key()``.
      params: The parameters before the first step; they are not written.
      log: From :func:`zojax.trajectory.read_log`.
      until: The step; the last of the log where None.
      base: The part of ``params`` that the header's SHA-256 is of, where an adapter has none; all
        of them where None.
      compiled: As the run's own steps were: see :class:`Replayer`.

    Cost: each step draws its directions once and evaluates nothing; one compilation.
    Error: none where the backend rounds as that of the run did: the same versions of jax on the
      same kind of device.

    Raises:
      ValueError: The parameters are not the log's by their SHA-256, ``until`` is outside the log,
        or ``tx`` is one whose updates need more than the log has.
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
    copy = jax.tree.map(jnp.copy, params)
    return Replayer(tx, compiled=compiled).take(copy, state, log.scalars[:steps])[0]


def _refuse(_: Any) -> NoReturn:
    raise ValueError(
        "replay: tx must be an optimizer whose updates are functions of keys and of what the log "
        "has, got one that evaluates value_fn besides. Its runs go on from checkpoints alone."
    )
