"""Updates of 16-bit parameters with what rounding took, kept in 16 bits more."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from zojax._mesh import laid_out
from zojax._sixteen_bits import is_16_bit, spacing
from zojax._types import Array

# A remainder lies within half a spacing; it is counted in parts of this.
_PARTS = 2.0**16


class CompensatedState(NamedTuple):
    """State of :func:`compensated`."""

    remainder: Any  # int16, like the parameters: 2**-16 of a spacing each; [] for other dtypes


def compensated() -> optax.GradientTransformationExtraArgs:
    r"""A last link by which every update of 16-bit parameters lands: rounding is made up for.

    .. math:: x \leftarrow \theta + r + u, \qquad \theta \leftarrow \operatorname{round}(x),
        \qquad r \leftarrow x - \theta

    Rounded to the nearest number, an update below half the distance to the next one is lost. This
    link keeps what rounding took, r, as 16 bits more for each element: the lower half of a float32
    number whose upper half is the bfloat16 parameter. So bfloat16 parameters follow the path of
    float32 ones, and for the rest of the program they are bfloat16. The update that it returns is
    the difference to the rounded number, float32, which ``optax.apply_updates`` adds without error
    (under JAX's standard promotion of dtypes).

    Put it last in a chain. It needs no ``value_fn``, works after any optimizer, and a log replays
    it.

    Returns:
      A link whose ``update`` needs ``params``; updates of bfloat16 and float16 parameters become
      float32, others stay.

    Cost: an int16 buffer with as many elements as the 16-bit parameters.
    Error: that of float32; of float16 parameters r has 13 bits more than they.

    Raises:
      ValueError: ``params`` are not given.

    References:
      Kahan, 1965, "Further remarks on reducing truncation errors"; Zamirai et al., 2020,
      "Revisiting BFloat16 Training", arXiv:2010.06192, with r in bfloat16.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, zojax
      >>> tx = optax.chain(optax.sgd(1e-4), zojax.compensated())
      >>> params = jnp.array([1.0], jnp.bfloat16)
      >>> state = tx.init(params)
      >>> with jax.numpy_dtype_promotion("standard"):
      ...     for _ in range(80):
      ...         updates, state = tx.update(jnp.array([1.0]), state, params)
      ...         params = optax.apply_updates(params, updates)
      >>> float(params[0])
      0.9921875
    """

    def init(params: Any) -> CompensatedState:
        return CompensatedState(jax.tree.map(_none_yet, params))

    def update(
        updates: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, CompensatedState]:
        del extra_args
        if params is None:
            raise ValueError("compensated: params are needed: give them to update.")
        leaves, tree = jax.tree.flatten(params)
        given = zip(
            tree.flatten_up_to(updates), leaves, tree.flatten_up_to(state.remainder), strict=True
        )
        moved, kept = zip(*(_landed(*each) for each in given), strict=True)
        return tree.unflatten(moved), CompensatedState(tree.unflatten(kept))

    return laid_out(optax.GradientTransformationExtraArgs(init, update))


def _none_yet(parameter: Any) -> Array:
    if not is_16_bit(parameter):
        return jnp.zeros((), jnp.int16)
    return jnp.zeros_like(parameter, jnp.int16)


def _landed(update: Any, parameter: Array, remainder: Array) -> tuple[Any, Array]:
    if not is_16_bit(parameter) or update is None or jnp.shape(update) != parameter.shape:
        return update, remainder
    dtype = parameter.dtype
    wide = parameter.astype(jnp.float32)
    # The product is exact: a spacing is a power of two.
    kept = remainder.astype(jnp.float32) * (spacing(wide, dtype) * jnp.float32(1 / _PARTS))
    target = (wide + kept) + update.astype(jnp.float32)
    rounded = target.astype(dtype).astype(jnp.float32)
    parts = jnp.round((target - rounded) / spacing(rounded, dtype) * jnp.float32(_PARTS))
    parts = jnp.where(jnp.isfinite(parts), parts, 0.0)
    return rounded - wide, jnp.clip(parts, -(2.0**15), 2.0**15 - 1).astype(jnp.int16)
