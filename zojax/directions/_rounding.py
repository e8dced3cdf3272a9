"""Products that are rounded, whatever a compiler fuses them with.

This is what makes bits equal between programs: the two ends of a probe, the update that follows
them, and the replay of that update from a log are different programs, or parts of one that a
compiler fuses in different ways. Where a product is added to something, a compiler may contract
the two into one multiply-add with one rounding (FMA, on processors that have it) in one place and
not in the other, and the sums then differ in their last bit. So every product whose sum two
programs must agree on passes through :func:`rounded`: in z itself, in losses before they are
subtracted, in slope·z before queries are added, and in an update before it is added to θ (see
``zojax.chain``). tests/trajectory holds probe = update, resume = run and replay = run to the bit
under every instruction set of the processor.
"""

import jax.numpy as jnp
import numpy as np

from zojax._types import Array


def rounded(product: Array) -> Array:
    """The product itself, but rounded before any sum that it enters.

    A minimum between a product and a sum forbids their contraction. Only an infinite product is
    changed: it becomes the largest number of its dtype.
    """
    return jnp.minimum(product, np.asarray(jnp.finfo(product.dtype).max, product.dtype))
