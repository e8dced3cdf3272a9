"""Weight decay, as every named optimizer takes it."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from zojax import _check
from zojax._types import ScalarOrSchedule


def decay(where: str, weight_decay: ScalarOrSchedule, mask: Any) -> optax.GradientTransformation:
    """A link that adds λθ where ``mask`` says so."""
    _check.non_negative(where, "weight_decay", weight_decay)
    # Without decay the link would still read every parameter.
    if isinstance(weight_decay, int | float) and weight_decay == 0:
        return optax.identity()
    return optax.add_decayed_weights(weight_decay, _floating if mask is None else mask)


def _floating(params: Any) -> Any:
    """Marks the leaves that can decay: integers stay."""
    return jax.tree.map(lambda leaf: jnp.issubdtype(jnp.result_type(leaf), jnp.floating), params)
