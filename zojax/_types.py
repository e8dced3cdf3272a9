"""Names for the types that cross module borders."""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

import jax
import optax

Array: TypeAlias = jax.Array
Params: TypeAlias = optax.Params
ScalarOrSchedule: TypeAlias = optax.ScalarOrSchedule
KeyLike: TypeAlias = int | Array

ValueFn: TypeAlias = Callable[[Any], Any]
"""``value_fn(params) -> float []``: the loss on the step's batch, which it closes over."""

Evaluation: TypeAlias = Literal["streamed", "copy", "in_place"]
Difference: TypeAlias = Literal["central", "forward"]


class Mask(Protocol):
    """Builds a tree of bools shaped like the parameters: where weight decay applies."""

    def __call__(self, params: Params) -> Any: ...
