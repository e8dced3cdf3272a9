"""Names for the types that cross module borders."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import optax

Array: TypeAlias = jax.Array
Params: TypeAlias = optax.Params
ScalarOrSchedule: TypeAlias = optax.ScalarOrSchedule
KeyLike: TypeAlias = int | Array

ValueFn: TypeAlias = Callable[[Any], Any]
"""``value_fn(params) -> float []``: the loss on the step's batch, which it closes over."""

Evaluation: TypeAlias = Literal["streamed", "copy", "in_place"]
InSubspace: TypeAlias = Literal["streamed", "copy"]
Difference: TypeAlias = Literal["central", "forward", "centred"]

HasAux: TypeAlias = bool | Any
"""Whether ``value_fn`` returns a pair (loss, aux).

``True`` drops aux. A pytree of ``jax.ShapeDtypeStruct`` (what ``jax.eval_shape`` gives) or of
arrays, shaped as aux is, keeps it in the state.
"""
