"""Several processes that train together."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from zojax.parallel import shard_batch

# jax reads the first by itself; the others go with it, as its jobs' scripts call them.
COORDINATOR, NUM_PROCESSES, PROCESS_ID = (
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
)
# How long processes wait at the end for the others: process 0 may be writing a model.
_SHUTDOWN_SECONDS = 24 * 3600


def join(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> bool:
    """Join the other processes of a job, if there are to be any, by ``jax.distributed``.

    Called before anything that makes JAX look for its devices. Afterwards ``jax.devices()`` are
    those of all processes.

    Args:
      coordinator: ``"host:port"``, where process 0 listens and all others find it; ``"auto"``
        leaves all three to JAX, which knows Slurm, Open MPI, Kubernetes and Cloud TPU. Without it,
        the environment variable ``JAX_COORDINATOR_ADDRESS``; without that, there is one process.
      num_processes: How many; without it, ``JAX_NUM_PROCESSES``.
      process_id: Which one this is, from 0; without it, ``JAX_PROCESS_ID``.

    Returns:
      Whether there are several processes.

    Raises:
      ValueError: Some of the three are missing or do not fit together.
    """
    coordinator = coordinator or os.environ.get(COORDINATOR)
    if coordinator is None:
        if num_processes is not None or process_id is not None:
            raise ValueError(
                f"join: num_processes and process_id need a coordinator, got {num_processes} and "
                f"{process_id} without. Give its host:port, or set {COORDINATOR}."
            )
        return False
    # It would take SIGTERM for itself; a run that is told to end ends by its own handler.
    jax.config.update("jax_enable_preemption_service", False)
    if coordinator == "auto":
        jax.distributed.initialize(shutdown_timeout_seconds=_SHUTDOWN_SECONDS)
        return _connected()
    count = _from("num_processes", num_processes, NUM_PROCESSES)
    number = _from("process_id", process_id, PROCESS_ID)
    if ":" not in coordinator or not 0 <= number < count:
        raise ValueError(
            f"join: coordinator must be host:port and process_id within 0 … num_processes - 1, "
            f"got {coordinator!r}, process_id {number} and num_processes {count}."
        )
    jax.distributed.initialize(
        coordinator, count, number, shutdown_timeout_seconds=_SHUTDOWN_SECONDS
    )
    return _connected()


def _connected() -> bool:
    """Open the processes' connections; tell whether there are several."""
    if jax.process_count() == 1:
        return False
    # On CPU they are opened by the first collective, which gives up after half a minute where a
    # process is late: later on one may be, for it compiles or reads a model more slowly.
    mesh = jax.make_mesh((jax.device_count(),), ("all",), (AxisType.Auto,))
    ones = shard_batch(np.ones(mesh.size, np.int32), mesh, "all")
    total = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, PartitionSpec()))(ones)
    total.block_until_ready()
    return True


def abandon(status: int) -> NoReturn:
    """End this process of several at once, without the usual wait for the others at the end.

    They may be waiting for this one in a collective, which ends when its connections do.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _from(name: str, value: int | None, variable: str) -> int:
    if value is not None:
        return value
    text = os.environ.get(variable, "")
    if not text.isdecimal():
        raise ValueError(
            f"join: with a coordinator, {name} must be given, or {variable} be a number; got "
            f"{text!r}."
        )
    return int(text)


class Agreed:
    """A number that all processes hear at the same call, once one of them has said it.

    A process that ends a loop alone leaves the others waiting in their next collective.

    Args:
      flag: This process's own, 0 for nothing; a signal's number, say. The largest is heard.
      mesh: Devices of all processes, along one axis.

    Cost: 4 bytes of each device cross the wire at each call, which returns what the processes had
      said at the call before: nothing waits for the step that has just begun.
    """

    def __init__(self, flag: Callable[[], int], mesh: Mesh) -> None:
        (axis,) = mesh.axis_names
        self._flag, self._size = flag, mesh.size
        self._sharding = NamedSharding(mesh, PartitionSpec(axis))
        self._largest = jax.jit(jnp.max, out_shardings=NamedSharding(mesh, PartitionSpec()))
        self._said: jax.Array | None = None

    def __call__(self) -> int:
        """Tell the others, and return what any of them had said at the last call."""
        said, mine = self._said, np.full(self._size, self._flag(), np.int32)
        values = jax.make_array_from_callback(mine.shape, self._sharding, lambda i: mine[i])
        self._said = self._largest(values)
        return 0 if said is None else int(said)
