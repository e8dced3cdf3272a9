"""What ``value_fn`` may return: one real number, alone or with auxiliary outputs."""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from zojax._types import Array

HasAux: TypeAlias = bool | Any
"""Whether ``value_fn`` returns a pair (loss, aux).

``True`` drops aux. A pytree of ``jax.ShapeDtypeStruct`` (what ``jax.eval_shape`` gives) or of
arrays, shaped as aux is, keeps it in the state.
"""


def kept_aux(has_aux: HasAux) -> Any:
    """Zeros to start with where aux is kept, and None where it is not."""
    if isinstance(has_aux, bool):
        return None
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), has_aux)


def value_and_aux(where: str, returned: Any, has_aux: HasAux) -> tuple[Array, Any]:
    """What ``value_fn`` returned, checked: float32 [] or wider, and aux or None.

    Raises:
      TypeError: The loss is not one real number, or aux is not as ``has_aux`` says.
      ValueError: The loss has 16 bits or fewer.
    """
    is_pair = isinstance(returned, tuple | list) and len(returned) == 2
    if has_aux is False:
        if is_pair:
            raise TypeError(
                f"{where}: value_fn must return one real number, got a pair. If it is (loss, aux), "
                f"pass has_aux=True."
            )
        return _scalar(where, returned), None
    if not is_pair:
        raise TypeError(
            f"{where}: value_fn must return a pair (loss, aux), for has_aux is given, got "
            f"{type(returned).__name__}."
        )
    value, aux = returned
    if has_aux is True:
        return _scalar(where, value), None
    if _shapes(aux) != _shapes(has_aux):
        raise TypeError(
            f"{where}: aux must have the structure given as has_aux, {_shapes(has_aux)}, got "
            f"{_shapes(aux)}."
        )
    return _scalar(where, value), jax.tree.map(jnp.asarray, aux)


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: f"{jnp.result_type(x)}{list(jnp.shape(x))}", tree)


def _scalar(where: str, value: Any) -> Array:
    try:
        shape, dtype = jnp.shape(value), jnp.result_type(value)
    except TypeError:
        shape, dtype = None, type(value).__name__
    real = shape == () and (
        jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)
    )
    if not real:
        got = dtype if shape is None else f"{dtype}{list(shape)}"
        raise TypeError(
            f"{where}: value_fn must return one real number, got {got}. "
            f"Return the mean of the losses."
        )
    if jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32:
        raise ValueError(
            f"{where}: value_fn must return a loss of 32 bits or more, got {dtype}: its losses at "
            f"two near points would be the same number, and the slope 0. Return float32: compute "
            f"the loss from logits.astype(jnp.float32)."
        )
    # Differences are taken in the loss's own width, and only slopes are float32.
    return jnp.asarray(value).astype(jnp.float64 if dtype == jnp.float64 else jnp.float32)
