"""How a run is distributed over devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from zojax.lm.processes._join import Agreed
from zojax.parallel import pad_batch, query_parallel, replicate, shard_batch

Parallel: TypeAlias = Literal["data", "query"]
Step = TypeVar("Step", bound=Callable[..., Any])


@dataclass(frozen=True)
class Spread:
    """The devices of a run: all devices of all processes along one axis, or a single device.

    Attributes:
      mesh: The devices; None for a single device.
      parallel: What is distributed: the examples of a batch, or the queries and signs of a step.
    """

    mesh: Mesh | None = None
    parallel: Parallel = "data"

    @classmethod
    def of(cls, parallel: Parallel | None) -> Spread:
        """Use all devices if ``parallel`` is given or there are several processes, else one."""
        if parallel is None and jax.process_count() == 1:
            return cls()
        parallel = parallel or "data"
        mesh = jax.make_mesh((jax.device_count(),), (parallel,), (AxisType.Auto,))
        return cls(mesh, parallel)

    @property
    def writes(self) -> bool:
        """Whether this process writes files and shows progress: process 0 alone does."""
        return jax.process_index() == 0

    @property
    def everywhere(self) -> NamedSharding | None:
        """The sharding of replicated arrays; None for a single device."""
        return self.mesh and NamedSharding(self.mesh, PartitionSpec())

    def replicated(self, tree: Any) -> Any:
        """Replicate a tree on all devices."""
        return jax.device_put(tree) if self.mesh is None else replicate(tree, self.mesh)

    def local(self, tree: Any) -> Any:
        """Copy replicated arrays to the host, where a process can read them without the others."""
        return tree if self.mesh is None else jax.tree.map(np.asarray, tree)

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
        if not in_jax:
            raise ValueError(
                f"finetune: parallel {self.parallel} must be for a step inside JAX, got "
                'evaluation="in_place" or objective="f1", which call Python. Use one device.'
            )
        if self.parallel == "data" and batch_size < self.mesh.size:
            raise ValueError(
                f"finetune: parallel data needs an example for each of the {self.mesh.size} "
                f"devices, got batches of {batch_size}. Raise batch_size, or use fewer devices."
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
        return shard_batch(pad_batch(batch, self.mesh.size), self.mesh, self.parallel)

    def agreed(self, flag: Callable[[], int]) -> Callable[[], int]:
        """Turn this process's flag, 0 or more, into one that all processes see at the same call."""
        if self.mesh is None or jax.process_count() == 1:
            return flag
        return Agreed(flag, self.mesh)
