"""Chains whose state lies where the parameters lie."""

import optax

from zojax._mesh import laid_out


def chain(*links: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """``optax.chain``; the moments of its links are cut as the parameters are."""
    return laid_out(optax.chain(*links))
