"""One training step, zeroth-order or first-order, compiled once for each shape of batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax import Array

import zojax
from zojax.lm.models import Params
from zojax.lm.tasks import Batch
from zojax.lm.training._optimizer import Optimizer
from zojax.trajectory import LogDtype, Recorder

Loss: TypeAlias = Callable[[Params, Batch], Array]
# Shapes of a batch's arrays, input_ids first; and the structure of the arguments before it.
Kind: TypeAlias = tuple[tuple[tuple[int, ...], ...], Any]


class Outcome(NamedTuple):
    """What a step measures."""

    loss: Array  # float32 []: mean loss of the batch, nats
    scalars: Array  # float32 [k]: all that the update needs besides keys; NaN where not finite


Step: TypeAlias = Callable[..., tuple[Params, Any, Outcome]]
"""``step(params, state, batch, query_axis=None) -> (params, state, outcome)``"""


def in_parts(loss: Loss, parts: int) -> Loss:
    """The mean loss of a batch that is read in equal parts, one after the other.

    All parts are evaluated at the same parameters, so a step is that of the whole batch, up to
    rounding, in the memory of a part. A weight that is perturbed where it is consumed is perturbed
    again for each part.

    Args:
      loss: Mean loss over a batch.
      parts: Their number; it divides the number of examples.
    """

    def of_part(params: Params, total: Array, part: Batch) -> tuple[Array, None]:
        return total + loss(params, part), None

    def mean(params: Params, batch: Batch) -> Array:
        cut = jax.tree.map(lambda x: jnp.reshape(x, (parts, -1, *x.shape[1:])), batch)
        total, _ = jax.lax.scan(partial(of_part, params), jnp.float32(0.0), cut)
        return total / parts

    return mean


class CompiledByShape:
    """A function of a batch, compiled ahead of time for every shape of batch.

    So it is for every structure of what comes before it: a quantized weight is an array once a
    subspace was added to it.

    Compiling takes seconds. Ahead of time, it is announced and not counted as time of the steps.

    Args:
      function: Takes a batch as its last argument.
      name: Name of what is compiled, for ``announce``.
      announce: Called with a line that says what is being compiled.
      donate_argnums: Arguments whose buffers are donated to the results.
      place: Puts a batch on the program's devices; also takes a batch of abstract arrays.
      out_shardings: Shardings of the results; None leaves them to JAX.
      compiled: Called with what was compiled, and the seconds that it took.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        announce: Callable[[str], None],
        donate_argnums: tuple[int, ...] = (),
        place: Callable[[Any], Any] | None = None,
        out_shardings: Any = None,
        compiled: Callable[[str, float], None] | None = None,
    ) -> None:
        self._jit = jax.jit(
            function,
            donate_argnums=donate_argnums,
            out_shardings=out_shardings,
            compiler_options=zojax.compiler_options(),
        )
        self._place = place or (lambda batch: batch)
        self._name = name
        self._announce = announce
        self._compiled = compiled
        self._programs: dict[Kind, Callable[..., Any]] = {}
        self.seconds = 0.0  # time spent compiling

    def prepare(self, *calls: tuple[Any, ...]) -> None:
        """Compile in parallel the programs for these calls, whose batches may be abstract."""
        new = {_kind(call): call for call in calls}
        shapes = [shape for shape in new if shape not in self._programs]
        if not shapes:
            return
        sizes = " and ".join(f"{rows} x {length}" for ((rows, length), *_), _ in shapes)
        what = f"{self._name} for {sizes} tokens"
        self._announce(f"compiling {what}")
        start = time.perf_counter()
        lowered = [self._jit.lower(*self._placed(new[shape])) for shape in shapes]
        # Much of a compilation is serial, so compiling several programs at once uses more cores.
        with ThreadPoolExecutor(len(lowered)) as pool:
            programs = pool.map(lambda program: program.compile(), lowered)
            self._programs.update(zip(shapes, programs, strict=True))
        seconds = time.perf_counter() - start
        self.seconds += seconds
        if self._compiled is not None:
            self._compiled(what, seconds)

    def __call__(self, *args: Any) -> Any:
        """Call the program of this shape of batch, compiling it if needed."""
        self.prepare(args)
        return self._programs[_kind(args)](*self._placed(args))

    def _placed(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*args[:-1], self._place(args[-1]))


def _kind(args: tuple[Any, ...]) -> Kind:
    *before, batch = args
    return tuple(leaf.shape for leaf in batch), jax.tree.structure(before)


def make_step(
    optimizer: Optimizer, loss: Loss, slopes: LogDtype = "float32", branch: str | None = None
) -> Step:
    """Return ``(params, state, batch) -> (params, state, outcome)``, not yet compiled.

    If a step's loss, slopes or gradient are not finite, its slopes or gradient are replaced by 0.

    Args:
      optimizer: The optimizer; says whether it takes ``value_fn`` or gradients.
      loss: Mean loss over a batch.
      slopes: The dtype that slopes are rounded to.
      branch: The branch of the parameters that the optimizer moves, if it is not all of them: a
        first-order step takes no gradient of the others.
    """

    def zeroth_order(
        params: Params, state: Any, batch: Batch, query_axis: str | None = None
    ) -> tuple[Params, Any, Outcome]:
        recorder = Recorder(slopes)
        updates, state = optimizer.tx.update(
            None,  # pyright: ignore[reportArgumentType] - an estimator needs no gradient
            state,
            params,
            value_fn=lambda p: loss(p, batch),
            meter=recorder,
            query_axis=query_axis,
        )
        params = optax.apply_updates(params, updates)  # pyright: ignore[reportAssignmentType]
        return params, state, Outcome(zojax.last_loss(state), recorder.scalars)

    def first_order(params: Params, state: Any, batch: Batch) -> tuple[Params, Any, Outcome]:
        moving = params if branch is None else params[branch]

        def of_moving(moving: Params) -> Array:
            return loss(moving if branch is None else {**params, branch: moving}, batch)

        value, gradients = jax.value_and_grad(of_moving)(moving)
        finite = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves((value, gradients))]
        usable = jnp.all(jnp.stack(finite))
        gradients = jax.tree.map(lambda x: jnp.where(usable, x, jnp.zeros_like(x)), gradients)
        if branch is not None:
            none = jax.tree.map(lambda x: jnp.zeros((), x.dtype), params)
            gradients = {**none, branch: gradients}
        updates, state = optimizer.tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)  # pyright: ignore[reportAssignmentType]
        return params, state, Outcome(value, jnp.where(usable, 0.0, jnp.nan)[None])

    return zeroth_order if optimizer.zeroth_order else first_order
