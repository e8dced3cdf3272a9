"""What is planned for: shapes and a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Workload(NamedTuple):
    """A model's parameters and a batch, both without values, and the loss of one on the other.

    ``zojax.lm.models.workload`` makes one of a language model's name. For a model of your own::

        params = jax.eval_shape(init, jax.random.key(0))
        batch = jax.ShapeDtypeStruct((16, 784), jnp.float32)
        work = zojax.planning.Workload(params, batch, loss, "my model")
    """

    params: Any  # ShapeDtypeStruct leaves
    batch: Any  # likewise; the first axis of each counts the examples
    loss: Callable[[Any, Any], jax.Array]  # (params, batch) -> float []
    name: str = "a model"
    layers: int = 0  # that are alike; 0 where nothing is known of them
    # The same model with another number of layers; without it a step is compiled whole.
    at_depth: Callable[[int], Workload] | None = None

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))

    @property
    def nbytes(self) -> int:
        """Bytes of the parameters."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.params))

    @property
    def dtype(self) -> str:
        """The dtype that most of the parameters have."""
        sizes: dict[str, int] = {}
        for leaf in jax.tree.leaves(self.params):
            sizes[leaf.dtype.name] = sizes.get(leaf.dtype.name, 0) + leaf.size
        return max(sizes, key=sizes.__getitem__)


def made(where: str, work: Any) -> Workload:
    """The workload, or what a function makes of one.

    Raises:
      TypeError: It is neither.
    """
    work = work() if callable(work) else work
    if not isinstance(work, Workload):
        raise TypeError(
            f"{where}: work must be a zojax.planning.Workload, or a function that makes one, got "
            f"{work!r}. Of a language model's name zojax.lm.models.workload makes one."
        )
    return work
