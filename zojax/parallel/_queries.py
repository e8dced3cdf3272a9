"""A step whose queries and signs are shared out over devices."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

import jax
from jax.sharding import Mesh, PartitionSpec

Step = TypeVar("Step", bound=Callable[..., object])


def query_parallel(step: Step, mesh: Mesh, axis: str = "query") -> Step:
    """Let the devices along an axis of a mesh share the queries and signs of a training step.

    Every device holds the parameters and sees the whole batch. Of the p losses that an estimator
    asks for (both signs of each query), each of D devices evaluates ⌈p/D⌉; one all-gather tells
    all of them all losses, and each applies the same update, drawn from the same keys. Other axes
    of the mesh stay what they are: batches and parameters may be sharded over them.

    Args:
      step: Any function of arrays, such as ``(params, state, batch) -> (params, state)``, that
        also takes a keyword ``query_axis`` and hands it to an optimizer's ``update``. It takes
        trees of arrays that ``axis`` does not divide.
      mesh: The devices, of this process or of several.
      axis: One of the mesh's axes.

    Returns:
      A function of the same positional arguments with the same results, to go into ``jax.jit``.

    Cost: ⌈p/D⌉ forward passes in place of p, one after the other; 4 bytes of each loss cross the
      wire. The unperturbed pass of a forward difference, and the one of
      :func:`zojax.one_point`, are done by every device.
    Error: none: the losses are those of one device. Where a compiler comes to other code for
      several devices than for one, they differ in rounding; :doc:`/parallel` says where it does.

    Raises:
      ValueError: ``mesh`` has no such axis; or ``evaluation="in_place"``, which leaves JAX.
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
            "query_parallel: step must take a keyword query_axis and hand it to the optimizer's "
            "update: tx.update(None, state, params, value_fn=..., query_axis=query_axis)."
        )

    def shared(*args: object) -> object:
        return step(*args, query_axis=axis)

    everywhere = PartitionSpec()
    # What each device computes from equal arguments is equal, which JAX cannot prove.
    return jax.shard_map(  # pyright: ignore[reportReturnType]
        shared,
        mesh=mesh,
        in_specs=everywhere,
        out_specs=everywhere,
        axis_names={axis},
        check_vma=False,
    )
