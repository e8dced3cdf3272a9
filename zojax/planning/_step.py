"""Compiles the programs of a plan: a model's forward pass, and a training step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from zojax.planning._compile import compile_for
from zojax.planning._sharding import Target, mesh_of_target, place, place_state
from zojax.planning._workload import Workload
from zojax.streaming import compiler_options


def compile_forward(device: Target, workload: Workload) -> jax.stages.Compiled:
    """Compile one forward pass, which inference needs.

    Args:
      device: One of :data:`zojax.planning.DEVICES`, or ``"cpu"`` for this machine; or a
        :func:`topology`, over whose devices the parameters are sharded (tensor parallelism); or a
        :func:`mesh`.
      workload: The shapes and the loss.
    """
    params, batch = _placed(device, workload)
    return _compile(device, workload.loss, (), None, params, batch)


def compile_step(
    device: Target,
    workload: Workload,
    optimizer: optax.GradientTransformationExtraArgs,
    *,
    model_bytes: int = 0,
) -> jax.stages.Compiled:
    """Compile one zeroth-order training step, with donated parameters and state.

    Args:
      device, workload: As in :func:`compile_forward`.
      optimizer: An optimizer of zojax, whose ``update`` takes ``value_fn``.
      model_bytes: Bytes of the entire model's parameters, if ``workload`` has only a few of its
        layers. A weight's share of them decides whether it is perturbed in parts.
    """

    def step(params: Any, state: Any, batch: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(
            None,  # pyright: ignore[reportArgumentType] - an estimator needs no gradient
            state,
            params,
            value_fn=lambda perturbed: workload.loss(perturbed, batch),
            model_bytes=model_bytes,
        )
        return optax.apply_updates(params, updates), state

    return _compile_update(device, workload, optimizer, step)


def compile_first_order(
    device: Target, workload: Workload, optimizer: optax.GradientTransformation
) -> jax.stages.Compiled:
    """Compile one training step by backpropagation, with donated parameters and state.

    Activations are stored and not recomputed (no checkpointing); moments have the parameters'
    dtype.

    Args:
      device, workload: As in :func:`compile_forward`.
      optimizer: Any optimizer of optax.
    """

    def step(params: Any, state: Any, batch: Any) -> tuple[Any, Any, jax.Array]:
        branch = workload.branch
        moving = params if branch is None else params[branch]

        def loss(moving: Any) -> jax.Array:
            return workload.loss(moving if branch is None else {**params, branch: moving}, batch)

        value, gradients = jax.value_and_grad(loss)(moving)
        if branch is not None:
            none = jax.tree.map(lambda x: jnp.zeros((), x.dtype), params)
            gradients = {**none, branch: gradients}
        # optax's optimizers need promotion of dtypes, which JAX's strict settings refuse.
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, value

    return _compile_update(device, workload, optimizer, step)


def abstract_state(
    device: Target, workload: Workload, optimizer: optax.GradientTransformation
) -> tuple[Any, Any]:
    """Return the parameters and the optimizer's state as abstract arrays, with their shardings."""
    params, _ = _placed(device, workload)
    state = jax.eval_shape(optimizer.init, workload.params)
    return params, place_state(state, params) if mesh_of_target(device) else state


def _compile_update(device: Target, workload: Workload, optimizer: Any, step: Any) -> Any:
    params, state = abstract_state(device, workload, optimizer)
    abstract = jax.eval_shape(optimizer.init, workload.params)
    results = None
    if mesh_of_target(device):
        # A donated buffer can be reused only if the result has the same sharding.
        results = jax.tree.map(lambda leaf: leaf.sharding, (params, state))
        values = len(jax.eval_shape(step, workload.params, abstract, workload.batch)) - 2
        results = (*results, *[None] * values)
    _, batch = _placed(device, workload)
    return _compile(device, step, (0, 1), results, params, state, batch)


def _placed(device: Target, workload: Workload) -> tuple[Any, Any]:
    mesh = mesh_of_target(device)
    if mesh is None:
        return workload.params, workload.batch
    return place(workload.params, workload.batch, mesh)


def _compile(
    device: Target, function: Any, donated: tuple[int, ...], results: Any, *args: Any
) -> jax.stages.Compiled:
    if device == "cpu":
        jitted = jax.jit(function, donate_argnums=donated, compiler_options=compiler_options())
        return jitted.lower(*args).compile()
    jitted = jax.jit(function, donate_argnums=donated, out_shardings=results)
    return compile_for(device, jitted, *args)
