"""Arrays that are the same at all points of a step: frozen weights, and what a loss closes over."""

from collections.abc import Sequence
from typing import Any

import jax

from zojax._types import Array
from zojax._xla import tied
from zojax.directions import Noises


def tied_to_point(
    unperturbed: Sequence[Any], noises: Noises, scale: Array, *, differentiated: bool
) -> tuple[list[Any], Noises, Array]:
    """The same, where nothing computes with the unperturbed arrays before the point is known.

    XLA moves what is the same at all points before the loop over them. Frozen float32 weights whose
    products are of bfloat16 would be rounded there, all of them, and be kept.

    Args:
      unperturbed: Frozen leaves and constants; what is no array stays as it is.
      noises, scale: The point. At θ itself, without noise, there is no loop.
      differentiated: Whether the scale is differentiated, and then the same at all points. A tie
        would give each array a derivative, zeros of its size.
    """
    moved = next((i for i, noise in enumerate(noises) if noise is not None), None)
    arrays = [i for i, x in enumerate(unperturbed) if isinstance(x, jax.Array)]
    if moved is None or not arrays:
        return [*unperturbed], noises, scale
    unperturbed, noises = [*unperturbed], [*noises]
    point: tuple[Any, ...] = (noises[moved],) if differentiated else (noises[moved], scale)
    (noises[moved], *scales), held = tied(point, [unperturbed[i] for i in arrays])
    for i, x in zip(arrays, held, strict=True):
        unperturbed[i] = x
    return unperturbed, noises, scales[0] if scales else scale
