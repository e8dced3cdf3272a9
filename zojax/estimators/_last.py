"""The loss and the aux of the last step, from the state of any optimizer of zojax."""

from typing import Any

from zojax._types import Array
from zojax.estimators._estimator import estimator_states


def last_loss(state: Any) -> Array:
    """The loss of the last step, from the state of any optimizer or chain that has an estimator.

    Args:
      state: What ``init`` or ``update`` gave.

    Returns:
      float32 []: the mean of the losses that the step's estimator evaluated, at points near θ; inf
      before the first step. It is not finite where one of them was not.

    Raises:
      ValueError: ``state`` holds no estimator of zojax.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> tx = zojax.zo_adam(1e-3, eps=1e-3, key=0)
      >>> params = {"value": jnp.array([1.0, -2.0])}  # a name that Adam's moments have, too
      >>> _, state = tx.update(
      ...     None, tx.init(params), params, value_fn=lambda p: (p["value"] ** 2).sum()
      ... )
      >>> round(float(zojax.last_loss(state)), 2)
      5.0
    """
    return _first("last_loss", state).value


def last_aux(state: Any) -> Any:
    """What ``value_fn`` returned besides the loss at the last step's first point.

    Args:
      state: That of an optimizer which was given the structure of aux as ``has_aux``.

    Returns:
      A pytree of that structure; zeros before the first step.

    Raises:
      ValueError: ``state`` holds no estimator of zojax, or one that drops aux.

    Examples:
      >>> import jax, jax.numpy as jnp, zojax
      >>> def value_fn(params):
      ...     errors = jnp.abs(params)
      ...     return errors.sum(), {"worst": errors.max()}
      >>> params = jnp.array([1.0, -2.0])
      >>> aux = jax.eval_shape(value_fn, params)[1]
      >>> tx = zojax.mezo(1e-3, eps=1e-3, key=0, has_aux=aux)
      >>> _, state = tx.update(None, tx.init(params), params, value_fn=value_fn)
      >>> round(float(zojax.last_aux(state)["worst"]), 1)
      2.0
    """
    aux = _first("last_aux", state).aux
    if aux is None:
        raise ValueError(
            "last_aux: state must keep aux, got that of an optimizer which drops it. Give its "
            "structure: has_aux=jax.eval_shape(value_fn, params)[1]."
        )
    return aux


def _first(where: str, state: Any) -> Any:
    found = estimator_states(state)
    if not found:
        raise ValueError(
            f"{where}: state must be that of an optimizer of zojax, got {type(state).__name__} "
            f"without an estimator's state in it."
        )
    return found[0]
