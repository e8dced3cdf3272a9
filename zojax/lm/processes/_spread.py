"""How a run is distributed over devices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from zojax.lm.processes._join import Agreed
from zojax.lm.settings import Parallel
from zojax.parallel import pad_batch, query_parallel, replicate, shard_batch
from zojax.sharding import make_mesh, over_axes, rows_over, state_layout

Step = TypeVar("Step", bound=Callable[..., Any])


@dataclass(frozen=True)
class Spread:
    """The devices of a run: a single one, all of all processes along one axis, or a mesh of them.

    Attributes:
      mesh: The devices; None for a single device.
      parallel: What is distributed: the examples of a batch, or the queries and signs of a step.
      rows: The axes of the mesh that the examples of a batch are sharded over.
      shards_model: Whether the parameters are sharded over the mesh, by the names of its axes;
        otherwise each device has all of them.
    """

    mesh: Mesh | None = None
    parallel: Parallel = "data"
    rows: tuple[str, ...] = ()
    shards_model: bool = False

    @classmethod
    def of(cls, parallel: Parallel | None, axes: Mapping[str, int] | None = None) -> Spread:
        """Choose the devices of a run.

        Args:
          parallel: What is distributed over all devices; None for a single device or, if there are
            several processes, ``"data"``.
          axes: Axes and sizes of a mesh to shard the model over, as
            :func:`zojax.sharding.read_mesh` returns them.

        Raises:
          ValueError: The mesh has more devices than there are, or there are several processes.
        """
        if axes is not None:
            if jax.process_count() > 1:
                raise ValueError(
                    "finetune: mesh must be for a single process, got one of "
                    f"{jax.process_count()}. Start one process, which uses all devices of its "
                    "host, or leave mesh out."
                )
            mesh = make_mesh("finetune", axes)
            return cls(mesh, "data", rows_over(mesh), shards_model=True)
        if parallel is None and jax.process_count() == 1:
            return cls()
        parallel = parallel or "data"
        mesh = jax.make_mesh((jax.device_count(),), (parallel,), (AxisType.Auto,))
        return cls(mesh, parallel, (parallel,))

    @property
    def writes(self) -> bool:
        """Whether this process writes files and shows progress: process 0 alone does."""
        return jax.process_index() == 0

    @property
    def everywhere(self) -> NamedSharding | None:
        """The sharding of replicated arrays; None for a single device."""
        return self.mesh and NamedSharding(self.mesh, PartitionSpec())

    def layout(self, params: Any) -> Any:
        """The shardings of parameters, which may be abstract; None for a single device."""
        if self.mesh is None or not self.shards_model:
            return self.everywhere
        return over_axes(params, self.mesh)

    def state_layout(self, init: Callable[[Any], Any], params: Any) -> Any:
        """The shardings of the optimizer's state that ``init`` makes of ``params``."""
        if not self.shards_model:
            return self.everywhere
        return state_layout(jax.eval_shape(init, params), params, self.layout(params))

    def replicated(self, tree: Any) -> Any:
        """Replicate a tree on all devices."""
        return jax.device_put(tree) if self.mesh is None else replicate(tree, self.mesh)

    def placed(self, params: Any) -> Any:
        """Put parameters on the devices: sharded as :meth:`layout` says, or replicated."""
        if not self.shards_model:
            return self.replicated(params)
        return jax.device_put(params, self.layout(params))

    def like(self, tree: Any, other: Any) -> Any:
        """Put a tree on the devices of another of its structure."""
        if not self.shards_model:
            return self.replicated(tree)
        return jax.tree.map(lambda leaf, like: jax.device_put(leaf, like.sharding), tree, other)

    def local(self, tree: Any) -> Any:
        """Copy replicated arrays to the host, where a process can read them without the others.

        A process that shards a model over its own devices can read the arrays as they are.
        """
        whole = self.mesh is None or self.shards_model
        return tree if whole else jax.tree.map(np.asarray, tree)

    def require(self, *, batch_size: int, losses: int, in_jax: bool) -> None:
        """Refuse a run that cannot be distributed.

        Args:
          batch_size: Examples of a training batch.
          losses: Losses that a step evaluates; 0 for a first-order step.
          in_jax: Whether the step is one JAX program, without calls of Python functions.

        Raises:
          ValueError: There are fewer examples or losses than devices, or the step is not one JAX
            program.
        """
        if self.mesh is None:
            return
        how = "mesh" if self.shards_model else f"parallel {self.parallel}"
        if not in_jax:
            raise ValueError(
                f"finetune: {how} must be for a step inside JAX, got "
                'evaluation="in_place", objective="f1" or a reward, which call Python. Use one '
                "device."
            )
        if self.parallel == "data" and batch_size < self._row_shards:
            shards = "shards of a batch" if self.shards_model else "devices"
            raise ValueError(
                f"finetune: {how} needs an example for each of the {self._row_shards} {shards}, "
                f"got batches of {batch_size}. Raise batch_size, or use fewer devices."
            )
        if self.parallel == "query" and losses < self.mesh.size:
            raise ValueError(
                f"finetune: parallel query needs a loss for each of the {self.mesh.size} devices, "
                f"got steps of {losses}. Raise num_queries, use fewer devices, or parallel data."
            )

    def step(self, step: Step) -> Step:
        """Distribute a step's queries over the devices, if ``parallel`` is ``"query"``."""
        if self.mesh is None or self.parallel == "data":
            return step
        return query_parallel(step, self.mesh, self.parallel)

    def training_batch(self, batch: Any) -> Any:
        """Put a training batch on the devices: sharded by rows, or replicated for ``"query"``."""
        return self.replicated(batch) if self.parallel == "query" else self.shared_rows(batch)

    def shared_rows(self, batch: Any) -> Any:
        """Shard a batch's examples over the devices; padding examples have weight 0."""
        if self.mesh is None:
            return batch
        return shard_batch(pad_batch(batch, self._row_shards), self.mesh, self.rows)

    @property
    def _row_shards(self) -> int:
        """The number of devices that a batch's examples are sharded over."""
        return 1 if self.mesh is None else math.prod(self.mesh.shape[name] for name in self.rows)

    def agreed(self, flag: Callable[[], int]) -> Callable[[], int]:
        """Turn this process's flag, 0 or more, into one that all processes see at the same call."""
        if self.mesh is None or jax.process_count() == 1:
            return flag
        return Agreed(flag, self.mesh)
