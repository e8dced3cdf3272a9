"""Distributes the queries and signs of a step over devices."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

import jax
from jax.sharding import Mesh, PartitionSpec

Step = TypeVar("Step", bound=Callable[..., object])


def query_parallel(step: Step, mesh: Mesh, axis: str = "query") -> Step:
    """Distribute the queries and signs of a training step over the devices along an axis of a mesh.

    Every device has the parameters and reads the full batch. Of the p losses that an estimator
    evaluates (both signs of each query), each of D devices evaluates ⌈p/D⌉. One all-gather gives
    all losses to all devices, and each applies the same update, drawn from the same keys. Other
    axes of the mesh are not affected: batches and parameters may be sharded over them.

    Args:
      step: Any function of arrays, such as ``(params, state, batch) -> (params, state)``, that also
        takes a keyword ``query_axis`` and passes it to an optimizer's ``update``. Its arguments
        must not be sharded over ``axis``.
      mesh: The devices, of this process or of several.
      axis: One of the mesh's axes.

    Returns:
      A function of the same positional arguments with the same results, to be compiled by
      ``jax.jit``.

    Cost: ⌈p/D⌉ forward passes in sequence instead of p; 4 bytes of communication for each loss. The
      unperturbed pass of a forward difference, and the pass of :func:`zojax.one_point`, are
      evaluated by every device.
    Error: none: the losses are those of a single device. If the compiler generates other code for
      several devices than for one, they differ in rounding; :doc:`/parallel` says when it does.

    Raises:
      ValueError: ``mesh`` has no such axis, or the step uses ``evaluation="in_place"``, which is
        not one JAX program.
      TypeError: ``step`` takes no ``query_axis``.

    Examples:
      >>> import jax, jax.numpy as jnp, zojax
      >>> mesh = jax.make_mesh((jax.device_count(),), ("query",))
      >>> tx = zojax.mezo(learning_rate=1e-2, eps=1e-3, key=0, num_queries=4)
      >>> def step(params, state, query_axis=None):
      ...     return tx.update(
      ...         None, state, params, value_fn=lambda p: jnp.sum(p**2), query_axis=query_axis
      ...     )
      >>> shared = jax.jit(query_parallel(step, mesh))
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = shared(params, tx.init(params))
    """
    if axis not in mesh.shape:
        raise ValueError(
            f"query_parallel: axis must be one of the mesh's, {tuple(mesh.shape)}, got {axis!r}."
        )
    taken = inspect.signature(step).parameters
    if "query_axis" not in taken and not any(p.kind == p.VAR_KEYWORD for p in taken.values()):
        raise TypeError(
            "query_parallel: step must take a keyword query_axis and pass it to the optimizer's "
            "update: tx.update(None, state, params, value_fn=..., query_axis=query_axis)."
        )

    def on_each_device(*args: object) -> object:
        return step(*args, query_axis=axis)

    replicated = PartitionSpec()
    # check_vma=False: the results are equal on all devices, but JAX cannot prove it.
    return jax.shard_map(  # pyright: ignore[reportReturnType]
        on_each_device,
        mesh=mesh,
        in_specs=replicated,
        out_specs=replicated,
        axis_names={axis},
        check_vma=False,
    )
