"""The workload of a plan: shapes and a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from zojax.planning._memory import bytes_of
from zojax.quantized import is_quantized


class Workload(NamedTuple):
    """The shapes of a model's parameters and of a batch, and the loss as a function of both.

    ``zojax.lm.models.workload`` makes one from a language model's name. For a model of your own::

        params = jax.eval_shape(init, jax.random.key(0))
        batch = jax.ShapeDtypeStruct((16, 784), jnp.float32)
        work = zojax.planning.Workload(params, batch, loss, "my model")
    """

    params: Any  # tree of ShapeDtypeStruct
    batch: Any  # tree of ShapeDtypeStruct; the first axis of each leaf is that of the examples
    loss: Callable[[Any, Any], jax.Array]  # (params, batch) -> float []
    name: str = "a model"  # shown in reports
    layers: int = 0  # number of equal layers; 0 if unknown
    # Makes the same model with another number of layers; without it, steps are compiled at full
    # depth.
    at_depth: Callable[[int], Workload] | None = None
    # The branch of the parameters that is tuned, such as "adapter"; None if all of them are.
    branch: str | None = None

    @property
    def size(self) -> int:
        """Number of parameters; of quantized ones, not of their scales."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params, is_leaf=is_quantized))

    @property
    def nbytes(self) -> int:
        """Bytes of the parameters."""
        return sum(map(bytes_of, jax.tree.leaves(self.params)))

    @property
    def tuned(self) -> Any:
        """The parameters that are tuned: all, or those of the branch."""
        return self.params if self.branch is None else self.params[self.branch]

    @property
    def tuned_bytes(self) -> int:
        """Bytes of the parameters that are tuned."""
        return sum(map(bytes_of, jax.tree.leaves(self.tuned)))

    @property
    def dtype(self) -> str:
        """The dtype of most parameters, or that which they are dequantized to."""
        sizes: dict[str, int] = {}
        for leaf in jax.tree.leaves(self.params, is_leaf=is_quantized):
            sizes[leaf.dtype.name] = sizes.get(leaf.dtype.name, 0) + leaf.size
        return max(sizes, key=sizes.__getitem__)


def made(where: str, work: Any) -> Workload:
    """Return ``work``, or the workload that ``work()`` returns.

    Raises:
      TypeError: The result is not a workload.
    """
    work = work() if callable(work) else work
    if not isinstance(work, Workload):
        raise TypeError(
            f"{where}: work must be a zojax.planning.Workload, or a function that makes one, got "
            f"{work!r}. zojax.lm.models.workload makes one from a language model's name."
        )
    return work
