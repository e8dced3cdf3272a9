"""Joins the processes of a job, and lets them agree on a flag."""

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

# JAX itself reads the first variable. The other two have the names that job scripts commonly use.
COORDINATOR, NUM_PROCESSES, PROCESS_ID = (
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
)
# How long a process that has ended waits for the others: process 0 may still be writing a model.
_SHUTDOWN_SECONDS = 24 * 3600


def join(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> bool:
    """Join the other processes of a job, if it has any, by ``jax.distributed``.

    Must be called before JAX looks for its devices. Afterwards ``jax.devices()`` lists the devices
    of all processes.

    Args:
      coordinator: ``"host:port"``, the address at which process 0 listens and which all other
        processes connect to. ``"auto"`` leaves all three arguments to JAX, which detects Slurm,
        Open MPI, Kubernetes and Cloud TPU. None reads the environment variable
        ``JAX_COORDINATOR_ADDRESS``; if that is not set, there is one process.
      num_processes: The number of processes; None reads ``JAX_NUM_PROCESSES``.
      process_id: The number of this process, from 0; None reads ``JAX_PROCESS_ID``.

    Returns:
      Whether there are several processes.

    Raises:
      ValueError: Some of the three arguments are missing or contradict each other.
    """
    coordinator = coordinator or os.environ.get(COORDINATOR)
    if coordinator is None:
        if num_processes is not None or process_id is not None:
            raise ValueError(
                f"join: num_processes and process_id need a coordinator, got {num_processes} and "
                f"{process_id} without one. Give its host:port, or set {COORDINATOR}."
            )
        return False
    # JAX's preemption service would handle SIGTERM itself; a run has its own handler for it.
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
    """Connect the processes; return whether there are several."""
    if jax.process_count() == 1:
        return False
    # On CPU the first collective opens the connections, and fails if a process is more than half a
    # minute late. Later a process may be that late, because it compiles or reads a model slowly.
    mesh = jax.make_mesh((jax.device_count(),), ("all",), (AxisType.Auto,))
    ones = shard_batch(np.ones(mesh.size, np.int32), mesh, "all")
    total = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, PartitionSpec()))(ones)
    total.block_until_ready()
    return True


def abandon(status: int) -> NoReturn:
    """End this process immediately, without waiting for the job's other processes.

    The others may be waiting for this process in a collective, which fails when its connections
    close.
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
            f"join: with a coordinator, {name} must be given, or {variable} must be a number, got "
            f"{text!r}."
        )
    return int(text)


class Agreed:
    """A flag that has the same value in all processes at the same call.

    Processes need it to end a loop together: one that ended a loop alone would leave the others
    waiting in their next collective.

    Args:
      flag: This process's own flag, 0 or more, such as a signal's number. The value that all
        processes see is the largest.
      mesh: The devices of all processes, along one axis.

    Cost: each call reduces 4 bytes from each device. It returns the result of the reduction that
      the previous call began, so that it does not wait for the step that was just dispatched.
    """

    def __init__(self, flag: Callable[[], int], mesh: Mesh) -> None:
        (axis,) = mesh.axis_names
        self._flag, self._size = flag, mesh.size
        self._sharding = NamedSharding(mesh, PartitionSpec(axis))
        self._largest = jax.jit(jnp.max, out_shardings=NamedSharding(mesh, PartitionSpec()))
        self._pending: jax.Array | None = None

    def __call__(self) -> int:
        """Begin to reduce the processes' flags; return the largest flag of the previous call."""
        previous, mine = self._pending, np.full(self._size, self._flag(), np.int32)
        values = jax.make_array_from_callback(mine.shape, self._sharding, lambda i: mine[i])
        self._pending = self._largest(values)
        return 0 if previous is None else int(previous)
