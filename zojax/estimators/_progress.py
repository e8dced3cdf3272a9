"""What the state of every estimator keeps of its steps."""

from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import numpy as np

from zojax import _check
from zojax._meter import Measured
from zojax._types import Array
from zojax.streaming import HasAux, kept_aux


class Progress(TypedDict):
    """The fields that the states of all estimators share."""

    count: Array  # int32 []: updates taken
    value: Array  # float32 []: mean of the step's losses, in the loss's unit; inf before the first
    skipped: Array  # int32 []: slopes so far that were not usable, and counted as 0
    rested: Array  # bool []: whether the last step had no usable slope, and so moved nothing
    aux: Any  # what value_fn gave besides at the last step's first point; None where it is dropped


def begun(has_aux: HasAux) -> Progress:
    """The fields before the first step, of which each is an array of its own: it may be donated."""
    return Progress(
        count=jnp.zeros((), jnp.int32),
        value=no_loss_yet(),
        skipped=jnp.zeros((), jnp.int32),
        rested=jnp.zeros((), bool),
        aux=kept_aux(has_aux),
    )


def advanced(state: Any, found: Measured) -> Progress:
    """The fields after a step that measured ``found``."""
    bad = jnp.sum(~found.usable, dtype=jnp.int32)
    return Progress(
        count=_check.next_count(state.count),
        value=found.value,
        skipped=state.skipped + bad,
        rested=~jnp.any(found.usable),
        # A replay measures nothing, and leaves what is there.
        aux=state.aux if found.aux is None else found.aux,
    )


def no_loss_yet(dtype: Any = np.float32) -> Array:
    """inf, ``dtype`` []: it says that there is no loss, which is no fault for ``debug_infs``."""
    with jax.debug_infs(False):
        return jnp.full((), jnp.inf, dtype)
