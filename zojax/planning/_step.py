"""The programs to compare: a model's forward pass, and a training step made of it."""

from __future__ import annotations

from typing import Any

import jax
import optax

from zojax._types import Array
from zojax.planning._compile import compile_for
from zojax.planning._workload import Workload
from zojax.streaming import compiler_options


def compile_forward(device: str, workload: Workload) -> jax.stages.Compiled:
    """Compile one forward pass, as inference needs it.

    Args:
      device: One of :data:`zojax.planning.DEVICES`, or ``"cpu"`` for this machine.
      workload: What :func:`workload` gives.
    """
    return _compile(device, workload.loss, (), workload.params, workload.tokens)


def compile_step(
    device: str, workload: Workload, optimizer: optax.GradientTransformationExtraArgs
) -> jax.stages.Compiled:
    """Compile one zeroth-order training step, with donated parameters and state.

    Args:
      device, workload: As in :func:`compile_forward`.
      optimizer: An optimizer of zojax; its ``update`` gets ``value_fn``.
    """

    def step(params: Any, state: Any, tokens: Array) -> tuple[Any, Any]:
        updates, state = optimizer.update(
            None,  # pyright: ignore[reportArgumentType] - an estimator needs no gradient
            state,
            params,
            value_fn=lambda perturbed: workload.loss(perturbed, tokens),
        )
        return optax.apply_updates(params, updates), state

    state = jax.eval_shape(optimizer.init, workload.params)
    return _compile(device, step, (0, 1), workload.params, state, workload.tokens)


def _compile(device: str, function: Any, donated: tuple[int, ...], *args: Any) -> Any:
    if device == "cpu":
        jitted = jax.jit(function, donate_argnums=donated, compiler_options=compiler_options())
        return jitted.lower(*args).compile()
    return compile_for(device, jax.jit(function, donate_argnums=donated), *args)
