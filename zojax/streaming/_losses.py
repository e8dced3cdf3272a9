"""Losses at perturbed parameters, in three ways that see the same z."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer

from zojax._mesh import mesh_of
from zojax._types import Array, Evaluation, Params, ValueFn
from zojax.directions import Draws, LeafNoise, alone, drawn, is_vector
from zojax.streaming._interpret import interpret
from zojax.streaming._perturbed import Perturbed, perturb
from zojax.streaming._points import map_points
from zojax.streaming._ties import Ties
from zojax.streaming._tiles import large_bytes

Noises: TypeAlias = Sequence[LeafNoise | None]
"""The undrawn z of every leaf of the parameters; None where a leaf does not move."""

Loss: TypeAlias = Callable[[Noises, Array | float], Array]
"""``loss(noises, scale) -> float32 []``: the value at θ + scale·z."""

EVALUATIONS = ("streamed", "copy", "in_place")


def loss_at(
    where: str,
    value_fn: ValueFn | None,
    params: Any,
    evaluation: Evaluation,
    *,
    differentiated: bool = False,
) -> Loss:
    """The loss as a function of the perturbation.

    Args:
      where: Name of the estimator, for messages.
      value_fn: ``value_fn(params) -> float []``.
      params: θ, any pytree; never written.
      evaluation: ``"streamed"`` perturbs each weight where it is consumed and needs the memory
        of ``value_fn(params)``. ``"copy"`` evaluates ``value_fn`` on a perturbed copy. The copy of
        ``"in_place"`` lives outside jit in one buffer, rewritten from θ for each loss, so that
        ``value_fn`` may be any Python function.
      differentiated: Whether the loss will be differentiated with respect to the scale. Functions
        with a derivative of their own (``jax.custom_jvp``) then get their weights whole.

    Returns:
      ``loss(noises, scale)``.

    Raises:
      TypeError: ``value_fn`` is not a function, or does not return one real number.
      ValueError: ``"in_place"`` under a JAX transformation.
    """
    if not callable(value_fn):
        raise TypeError(
            f"{where}: update needs value_fn, a function from params to the loss, got "
            f"{value_fn!r}. Call update(None, state, params, value_fn=...)."
        )
    streamed = partial(_streamed, differentiated=differentiated)
    make = {"streamed": streamed, "copy": _copy, "in_place": _in_place}[evaluation]
    return make(where, value_fn, params)


def _streamed(where: str, value_fn: ValueFn, params: Params, *, differentiated: bool) -> Loss:
    leaves, tree = jax.tree.flatten(params)

    def flat_value_fn(*leaves: Array) -> Array:
        return _scalar(where, value_fn(jax.tree.unflatten(tree, leaves)))

    jaxpr = jax.make_jaxpr(flat_value_fn)(*leaves)
    mesh = mesh_of(leaves)
    # Over several devices each holds only a part already, and slices would be communication.
    large = large_bytes(leaves) if mesh is None else None

    def loss(noises: Noises, scale: Array | float) -> Array:
        scale = jnp.asarray(scale, jnp.float32)
        inputs = [
            leaf
            if noise is None
            else Perturbed(leaf, noise, scale, large, differentiated=differentiated)
            for leaf, noise in zip(leaves, noises, strict=True)
        ]
        for i, vector in _perturbed_vectors(leaves, noises, scale).items():
            inputs[i] = vector
        return interpret(jaxpr, inputs, Ties(shared=mesh is not None))[0]

    return loss


def _perturbed_vectors(leaves: Sequence[Array], noises: Noises, scale: Array) -> dict[int, Array]:
    """The perturbed biases and norms, by their place among the leaves."""
    moving = {
        i: noise
        for i, noise in enumerate(noises)
        if noise is not None and is_vector(leaves[i].shape)
    }

    def fill(turn: Array, vectors: dict[int, Array]) -> dict[int, Array]:
        del vectors
        return {
            i: perturb(
                leaves[i],
                drawn(noise.in_turn(turn), leaves[i]),
                scale + turn.astype(scale.dtype),
            )
            for i, noise in moving.items()
        }

    # On CPU they are written to memory: XLA would perturb a bias again in every operation that
    # reads the residual stream behind it. On other platforms a loop would cost more.
    return lax.platform_dependent(
        {i: jnp.zeros_like(leaves[i]) for i in moving},
        cpu=lambda x: alone(fill, x),
        default=lambda x: fill(jnp.int32(0), x),
    )


def _copy(where: str, value_fn: ValueFn, params: Params) -> Loss:
    leaves, tree = jax.tree.flatten(params)

    def loss(noises: Noises, scale: Array | float) -> Array:
        perturbed = _perturbed(leaves, noises, jnp.asarray(scale, jnp.float32))
        return _scalar(where, value_fn(jax.tree.unflatten(tree, perturbed)))

    return loss


def _in_place(where: str, value_fn: ValueFn, params: Params) -> Loss:
    leaves, tree = jax.tree.flatten(params)
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        raise ValueError(
            f'{where}: evaluation="in_place" calls value_fn as plain Python, which jit, vmap and '
            f'grad cannot trace. Call update outside of them, or use evaluation="streamed".'
        )
    buffer: list[Array] | None = None

    def loss(noises: Noises, scale: Array | float) -> Array:
        nonlocal buffer
        scale = jnp.asarray(scale, jnp.float32)
        # From θ each time, not from the last point: steps of ±ε in the buffer itself would drift.
        if buffer is None:
            point = _perturbed(leaves, noises, scale)
        else:
            point = _rewritten(buffer, leaves, noises, scale)
        buffer = point
        return _scalar(where, value_fn(jax.tree.unflatten(tree, point)))

    return loss


def losses_at(
    loss: Loss,
    noises: Callable[[Draws, int | Array], Noises],
    points: Draws,
    scales: Array,
    evaluation: Evaluation,
    *,
    batched: bool = False,
) -> Array:
    """The losses at θ + scale·z.

    Args:
      loss: What :func:`loss_at` gives.
      noises: ``noises(points, i)``: the undrawn direction of a point.
      points: The draws of p points: see :meth:`zojax.directions.Draws.repeated`.
      scales: float32 [p].
      evaluation: As in :func:`loss_at`.
      batched: All points in one pass rather than one after the other.

    Returns:
      float32 [p].
    """

    def loss_of(point: int | Array) -> Array:
        return loss(noises(points, point), scales[point])

    if evaluation == "in_place":
        # Python calls of value_fn cannot be rolled into a compiled loop.
        return jnp.stack([loss_of(point) for point in range(len(scales))])
    # A loop rather than a row: the program holds one forward pass, and a point's perturbed weights
    # are gone before the next point's are there.
    return map_points(loss_of, jnp.arange(len(scales)), batched=batched)


@jax.jit
def _perturbed(leaves: list[Array], noises: Noises, scale: Array) -> list[Array]:
    return [
        leaf if noise is None else perturb(leaf, drawn(noise, leaf), scale)
        for leaf, noise in zip(leaves, noises, strict=True)
    ]


def _rewrite(buffer: list[Array], leaves: list[Array], noises: Noises, scale: Array) -> list[Array]:
    del buffer  # its memory takes the result
    return _perturbed(leaves, noises, scale)


_rewritten = jax.jit(_rewrite, donate_argnums=0, keep_unused=True)


def _scalar(where: str, value: Any) -> Array:
    shape, dtype = jnp.shape(value), jnp.result_type(value)
    if shape != () or not (
        jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)
    ):
        raise TypeError(
            f"{where}: value_fn must return one real number, got {dtype}{list(shape)}. "
            f"Return the mean of the losses."
        )
    return jnp.asarray(value).astype(jnp.float32)
