"""A note for those whose losses are compiled at every update."""

import itertools
import logging
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

_updates = itertools.count(1)


def note_compiled_update() -> None:
    """Log once in a process, at the second update whose losses are compiled for it alone.

    The first may be a trial. A loss closes over its batch, so that what is compiled for one update
    cannot serve the next; only ``jit`` around the step has the batch as an argument.
    """
    # Where a transformation like jit stages a program, even a constant is a tracer.
    disabled: Any = jax.config.jax_disable_jit  # pyright: ignore[reportAttributeAccessIssue]
    if disabled or isinstance(jnp.zeros(()), Tracer):
        return
    if next(_updates) == 2:
        logging.getLogger("zojax").warning(
            "update runs outside of jax.jit, so the loss is compiled anew at every call. Put "
            "jax.jit around the whole step: step = jax.jit(step, donate_argnums=(0, 1), "
            "compiler_options=zojax.compiler_options()). This is said once."
        )
