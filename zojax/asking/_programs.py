"""The compiled programs of an optimizer whose losses come from outside."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, NoReturn, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zojax._meter import Meter
from zojax._types import Array, Params
from zojax.asking._adapter import Adapter, adapter_of
from zojax.asking._point import Row
from zojax.asking._stand_ins import Listing, Reaching, Telling
from zojax.streaming import arrived, compiler_options


class MeterOfLog(Meter, Protocol):
    """A meter that keeps what a step has measured."""

    @property
    def scalars(self) -> Array:
        """float32 [k]: the step's record."""
        ...


class StepLog(Protocol):
    """What a step's record is written to: a :class:`zojax.trajectory.LogWriter`."""

    def recorder(self) -> MeterOfLog:
        """A new meter for one step."""
        ...

    def append(self, scalars: np.ndarray) -> None:
        """Write the record of the next step."""


class Programs(NamedTuple):
    """Compiled functions of (state, params, ...), each an ``update`` with other losses."""

    rows: Callable[..., list[Row]]  # the rows of losses that the step asks for
    params: Callable[..., Params]  # (..., index, row): the parameters at a point
    adapter: Callable[..., Adapter]  # likewise
    tell: Callable[..., tuple[Params, Any, Array]]  # (..., losses, recorder): and the record


def programs_of(tx: optax.GradientTransformation, *, donate: bool) -> Programs:
    """The programs of an optimizer; ``tell`` overwrites what it gets where ``donate`` says so."""
    inner = optax.with_extra_args_support(tx)

    def update(state: Any, params: Params, **extra: Any) -> tuple[Any, Any]:
        return inner.update(
            None,  # pyright: ignore[reportArgumentType] - an estimator needs no gradient
            state,
            params,
            **{"value_fn": _refuse, **extra},
        )

    @jax.jit
    def rows(state: Any, params: Params) -> list[Row]:
        listing = Listing()
        update(state, params, asking=listing)
        return listing.rows

    def reached(state: Any, params: Params, index: Array, row: int) -> Any:
        """The parameters at a point, each leaf that moves not computed yet."""
        found: list[Any] = []

        def keep(moved: Any) -> Array:
            found.append(moved)
            return jnp.zeros((), jnp.float32)

        update(state, params, asking=Reaching(row, index), value_fn=keep)
        return found[0]

    @partial(jax.jit, static_argnums=3)
    def params_at(state: Any, params: Params, index: Array, row: int) -> Params:
        return arrived(reached(state, params, index, row))

    @partial(jax.jit, static_argnums=3)
    def adapter_at(state: Any, params: Params, index: Array, row: int) -> Adapter:
        return adapter_of(params, reached(state, params, index, row))

    @partial(
        jax.jit,
        static_argnums=3,
        donate_argnums=(0, 1) if donate else (),
        compiler_options=compiler_options(),
    )
    def tell(
        state: Any, params: Params, losses: Array, recorder: Callable[[], MeterOfLog] | None
    ) -> tuple[Params, Any, Array]:
        meter = None if recorder is None else recorder()
        updates, state = update(state, params, asking=Telling(losses), meter=meter)
        record = jnp.zeros(0, jnp.float32) if meter is None else meter.scalars
        return optax.apply_updates(params, updates), state, record

    return Programs(rows, params_at, adapter_at, tell)


def _refuse(_: Any) -> NoReturn:
    raise ValueError(
        "ask_tell: tx must be an optimizer that needs losses at the points of its estimator alone, "
        "got one that evaluates value_fn besides. Leave that link out."
    )
