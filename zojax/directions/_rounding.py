"""Products that are rounded, whatever a compiler fuses them with."""

import jax.numpy as jnp
import numpy as np

from zojax._types import Array


def rounded(product: Array) -> Array:
    """The float32 product itself, but rounded before any sum that it enters.

    A compiler may contract a product and a sum into one operation with one rounding, and does so in
    one program and not in another. A minimum between the two forbids it: the same draw then has
    the same bits in the losses, in the update and in the next step.
    """
    return jnp.minimum(product, np.finfo(np.float32).max)
