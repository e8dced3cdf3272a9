"""Steps of an optimizer whose losses come from outside."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zojax import _check
from zojax._types import Params
from zojax.asking._losses import Losses, in_order
from zojax.asking._point import Place, Point, PointData, Row
from zojax.asking._programs import StepLog, programs_of
from zojax.estimators import EstimatorState, estimator_states


class Init(Protocol):
    """``init(params)``."""

    def __call__(self, params: Params) -> Any:
        """The optimizer's state before the first step."""
        ...


class Ask(Protocol):
    """``ask(state, params)``."""

    def __call__(self, state: Any, params: Params) -> list[Point]:
        """The points of the next step."""
        ...


class Tell(Protocol):
    """``tell(state, params, losses)``."""

    def __call__(
        self, state: Any, params: Params, losses: Losses, *, log: StepLog | None = None
    ) -> tuple[Params, Any]:
        """The parameters and the state after the step."""
        ...


class AskTell(NamedTuple):
    """Pure functions that take an optimizer's steps: see :func:`zojax.ask_tell`."""

    init: Init
    ask: Ask
    tell: Tell


def ask_tell(tx: optax.GradientTransformation, *, donate: bool = False) -> AskTell:
    """An optimizer's steps with losses from outside: a simulator, a person, a queue, an engine.

    ``ask`` gives the points at which a step needs losses, and ``tell`` takes the step. The losses
    may come in any order and from anywhere, and nothing is kept in between: ``ask`` gives the same
    points for the same state, so that an evaluation that was interrupted is asked for again.

    Args:
      tx: An optimizer of zojax, or a chain with one of its estimators, within ``select`` or
        ``subspace`` too.
      donate: Whether ``tell`` may overwrite the parameters and the state that it gets. Otherwise
        both are there twice for a moment.

    Returns:
      Three functions.

      - ``init(params)`` gives the state, that of ``tx``.
      - ``ask(state, params)`` gives the step's points, a list of :class:`zojax.asking.Point`.
      - ``tell(state, params, losses)`` gives (params, state) after the step. ``losses`` is a
        mapping from points to losses, or pairs of both; a point's ``data`` may stand for it. A loss
        that is missing, None or not finite drops its query, and the estimate is the mean over the
        others; a step without a usable loss moves nothing. With ``log``, a
        :class:`zojax.trajectory.LogWriter`, the step is recorded first, and the log replays the
        run.

    Cost: ``ask`` evaluates nothing. ``tell`` takes the update alone: z is drawn once, and no loss
      is evaluated; it is compiled at the first step.
    Error: none: parameters and state have the bits of a compiled ``update`` which gets these losses
      from its ``value_fn``.

    Raises:
      TypeError: ``tx`` is no optimizer.
      ValueError: When the state is made: ``tx`` has no estimator of zojax or several, or needs
        more than losses at points known before the step: derivatives, blocks in turn,
        ``conservative``. By ``tell``: losses of another step, of a point told twice, or of none.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> init, ask, tell = zojax.ask_tell(zojax.es(0.1, eps=1e-2, key=0, population=8))
      >>> params = {"w": jnp.ones((4, 3))}
      >>> state = init(params)
      >>> for _ in range(100):
      ...     points = ask(state, params)
      ...     losses = {p: float((p.params(params)["w"] ** 2).sum()) for p in points}
      ...     params, state = tell(state, params, losses)
      >>> bool((params["w"] ** 2).sum() < 1.0)
      True
    """
    _check.transformation("ask_tell", "tx", tx)
    _check.flag("ask_tell", "donate", donate)
    programs = programs_of(tx, donate=donate)

    def data_of(state: Any, rows: list[Row]) -> list[list[PointData]]:
        step = int(_estimator(state).count)
        return [
            [(step, query, side, float(row.eps)) for query, side in row.places()] for row in rows
        ]

    def init(params: Params) -> Any:
        state = tx.init(params)
        _estimator(state)
        jax.eval_shape(programs.rows, state, params)  # refuses what cannot be asked for
        return state

    def ask(state: Any, params: Params) -> list[Point]:
        rows = data_of(state, programs.rows(state, params))
        return [
            Point(*data, Place(programs.params, programs.adapter, state, row, index))
            for row, points in enumerate(rows)
            for index, data in enumerate(points)
        ]

    def tell(
        state: Any, params: Params, losses: Losses, *, log: StepLog | None = None
    ) -> tuple[Params, Any]:
        points = [data for row in data_of(state, programs.rows(state, params)) for data in row]
        given = in_order(points, losses)
        wide = bool(jax.config.jax_enable_x64) and given.dtype == np.float64  # pyright: ignore[reportAttributeAccessIssue]
        row = jnp.asarray(given, jnp.float64 if wide else jnp.float32)
        recorder = None if log is None else log.recorder
        params, state, record = programs.tell(state, params, row, recorder)
        if log is not None:
            log.append(np.asarray(record))
        return params, state

    return AskTell(init, ask, tell)


def _estimator(state: Any) -> EstimatorState:
    found = estimator_states(state)
    if len(found) != 1:
        raise ValueError(
            f"ask_tell: tx must have one estimator of zojax, such as zojax.spsa, got "
            f"{len(found) or 'none'} in its state."
        )
    return found[0]
