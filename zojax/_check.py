"""Checks of arguments, made on the host and never on tracers.

Every message names the function, the argument, the constraint, the value got and, where it is
not plain from the constraint, the fix.
"""

import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from zojax._types import Array, HasAux, KeyLike, ScalarOrSchedule, ValueFn

# It makes arrays of numbers, and calls functions with the step.
_INJECTED = " Under optax.inject_hyperparams name it in static_args, as docs/flax.md shows."


def _number(where: str, name: str, value: Any) -> float | None:
    """``value`` as a float, or None where only a traced program will know it."""
    if isinstance(value, Tracer | jax.Array | np.ndarray | np.generic):
        real = jnp.issubdtype(value.dtype, jnp.floating) or jnp.issubdtype(value.dtype, jnp.integer)
        if real and value.shape == ():
            return None if isinstance(value, Tracer) else float(value)
    elif callable(value):
        return None
    # A bool is a Python number, but where a number is meant it is a mistake.
    elif not isinstance(value, bool) and isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"{where}: {name} must be a number or a schedule of the step, got {value!r}.")


def positive(where: str, name: str, value: ScalarOrSchedule) -> None:
    number = _number(where, name, value)
    if number is not None and not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{where}: {name} must be > 0 and finite, got {value}.")


def non_negative(where: str, name: str, value: ScalarOrSchedule) -> None:
    number = _number(where, name, value)
    if number is not None and not (number >= 0 and math.isfinite(number)):
        raise ValueError(f"{where}: {name} must be >= 0 and finite, got {value}.")


def fraction(where: str, name: str, value: ScalarOrSchedule) -> None:
    number = _number(where, name, value)
    if number is not None and not 0 <= number <= 1:
        raise ValueError(f"{where}: {name} must be within [0, 1], got {value}.")


def count(where: str, name: str, value: Any) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        hint = _INJECTED if isinstance(value, jax.Array) else ""
        raise TypeError(f"{where}: {name} must be a Python int, got {value!r}.{hint}")
    if value < 1:
        raise ValueError(f"{where}: {name} must be >= 1, got {value}.")


def decay_mask(where: str, mask: Any) -> None:
    """Refuses one bool for all: what is left of a mask that was called with a step."""
    if isinstance(mask, bool | np.bool_ | jax.Array):
        raise TypeError(
            f"{where}: mask must be a function of the parameters or a tree of bools like them, got "
            f"{mask!r}.{_INJECTED}"
        )


def flag(where: str, name: str, value: Any) -> None:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{where}: {name} must be True or False, got {value!r}.")


def float_dtype(where: str, name: str, value: Any) -> None:
    """Refuses what is neither None nor a floating-point dtype."""
    if value is None:
        return
    try:
        floating = jnp.issubdtype(jnp.dtype(value), jnp.floating)
    except TypeError:
        floating = False
    if not floating:
        raise TypeError(
            f"{where}: {name} must be a floating-point dtype or None, got {value!r}. "
            f"Write jnp.bfloat16, say."
        )


def transformation(where: str, name: str, value: Any) -> None:
    if not isinstance(value, optax.GradientTransformation):
        hint = " Call it with its options first." if callable(value) else ""
        raise TypeError(
            f"{where}: {name} must be an optax.GradientTransformation, got {value!r}.{hint}"
        )


def one_of(where: str, name: str, value: Any, choices: Iterable[str]) -> None:
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{where}: {name} must be one of {choices}, got {value!r}.")


def instance(where: str, name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        hint = f" Write {value.__name__}()." if isinstance(value, type) else ""
        raise TypeError(f"{where}: {name} must be a zojax.{kind.__name__}, got {value!r}.{hint}")


def typed_key(where: str, key: KeyLike) -> Callable[[], Array]:
    """A function that gives ``key`` as a typed key; an integer is a seed.

    A legacy uint32 key, as ``jax.random.PRNGKey`` makes it, is wrapped. Each call makes a new
    array, for a state may be donated and the key must outlive it.

    Raises:
      TypeError: ``key`` is a float or anything else.
      ValueError: ``key`` is an array of several keys.
    """
    if isinstance(key, int) and not isinstance(key, bool):
        return lambda: jax.random.key(key)
    if isinstance(key, jax.Array | np.ndarray | np.generic):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            if key.shape != ():
                raise ValueError(
                    f"{where}: key must be one key, got an array of shape {key.shape}."
                )
            if isinstance(key, Tracer):
                traced: Array = key
                return lambda: traced
            with jax.ensure_compile_time_eval():  # a factory may be called while jit traces
                data, impl = np.asarray(jax.random.key_data(key)), jax.random.key_impl(key)
            return lambda: jax.random.wrap_key_data(jnp.array(data), impl=impl)
        legacy = _legacy_key()
        if (key.dtype, key.shape) == (legacy.dtype, legacy.shape):
            words = key if isinstance(key, Tracer) else np.array(key)
            return lambda: jax.random.wrap_key_data(jnp.array(words))
        if key.shape == () and jnp.issubdtype(key.dtype, jnp.integer):
            seed = key if isinstance(key, Tracer) else int(key)
            return lambda: jax.random.key(seed)
    raise TypeError(
        f"{where}: key must be a typed key or an int seed, got {key!r}. Write jax.random.key(0)."
    )


def _legacy_key() -> jax.ShapeDtypeStruct:
    """What a legacy key of JAX's default generator looks like: two words, or four."""
    return jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))


def params_given(where: str, params: Any) -> None:
    if params is None:
        raise ValueError(f"{where}: params are needed; call update(updates, state, params, ...).")


def parameters(where: str, params: Any) -> Any:
    """The parameters as JAX's arrays, none weakly typed; refuses what cannot be perturbed.

    A parameter that starts as a Python number is an array after the first step. So it is one at the
    first already, and a loss that promotes its types is the same function at both.

    Raises:
      ValueError: ``params`` is None or holds no floating-point leaf.
      TypeError: a leaf is complex or a PRNG key.
    """
    params_given(where, params)
    floating = False
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        dtype = jnp.result_type(leaf) if not hasattr(leaf, "dtype") else leaf.dtype
        if jnp.issubdtype(dtype, jax.dtypes.prng_key) or jnp.issubdtype(dtype, jnp.complexfloating):
            raise TypeError(
                f"{where}: parameter {jax.tree_util.keystr(path)} has dtype {dtype}; pass real "
                f"arrays only (for nnx modules: nnx.split(model, nnx.Param, ...), as docs/flax.md "
                f"shows)."
            )
        floating = floating or jnp.issubdtype(dtype, jnp.floating)
    if not floating:
        raise ValueError(f"{where}: params hold no floating-point leaf, so nothing can move.")
    return jax.tree.map(
        lambda x: x if isinstance(x, jax.ShapeDtypeStruct) else jnp.asarray(x, jnp.result_type(x)),
        params,
    )


def loss_function(where: str, value_fn: Any, obj_fn: Any) -> Any:
    """What ``update`` got as the loss, under either of its names; None if it got none.

    Raises:
      ValueError: both are given.
    """
    if value_fn is not None and obj_fn is not None:
        raise ValueError(
            f"{where}: obj_fn must not be given with value_fn, for both name the loss, got both. "
            f"Pass value_fn alone."
        )
    return obj_fn if value_fn is None else value_fn


def loss_given(where: str, value_fn: Any) -> ValueFn:
    """The loss itself, if it is a function.

    Raises:
      TypeError: ``value_fn`` is not callable.
    """
    if not callable(value_fn):
        raise TypeError(
            f"{where}: update needs value_fn, a function from params to the loss, got "
            f"{value_fn!r}. Call update(None, state, params, value_fn=...). docs/flax.md shows how "
            f"with TrainState, nnx.Optimizer and optax's wrappers, docs/other_models.md in the "
            f"training loops of other libraries."
        )
    return value_fn


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


def next_count(count: Array) -> Array:
    """The step after ``count``, int32 [], which stays at its largest value."""
    return jnp.asarray(optax.safe_increment(count))


def at(value: ScalarOrSchedule, step: Array) -> Array:
    """The float32 value of a number or schedule at ``step``."""
    scalar = value(step) if callable(value) else value
    return jnp.asarray(scalar, jnp.float32)
