"""Checks of arguments, made on the host and never on tracers.

Every message names the function, the argument, the constraint, the value got and, where it is
not plain from the constraint, the fix.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from zojax._types import Array, KeyLike, ScalarOrSchedule


def _number(value: Any) -> float | None:
    """``value`` as a float, or None where only a traced program will know it."""
    if isinstance(value, Tracer) or callable(value):
        return None
    return float(value)


def positive(where: str, name: str, value: ScalarOrSchedule) -> None:
    number = _number(value)
    if number is not None and not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{where}: {name} must be > 0 and finite, got {value}.")


def non_negative(where: str, name: str, value: ScalarOrSchedule) -> None:
    number = _number(value)
    if number is not None and not (number >= 0 and math.isfinite(number)):
        raise ValueError(f"{where}: {name} must be >= 0 and finite, got {value}.")


def fraction(where: str, name: str, value: ScalarOrSchedule) -> None:
    number = _number(value)
    if number is not None and not 0 <= number <= 1:
        raise ValueError(f"{where}: {name} must be within [0, 1], got {value}.")


def count(where: str, name: str, value: Any) -> None:
    if isinstance(value, jax.Array | float):
        raise TypeError(
            f"{where}: {name} must be a Python int, got {value!r}; under "
            f"optax.inject_hyperparams name it in static_args."
        )
    if value < 1:
        raise ValueError(f"{where}: {name} must be >= 1, got {value}.")


def one_of(where: str, name: str, value: Any, choices: Iterable[str]) -> None:
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{where}: {name} must be one of {choices}, got {value!r}.")


def instance(where: str, name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        hint = f" Write {value.__name__}()." if isinstance(value, type) else ""
        raise TypeError(f"{where}: {name} must be a zojax.{kind.__name__}, got {value!r}.{hint}")


def typed_key(where: str, key: KeyLike) -> Callable[[], Array]:
    """A function that gives ``key`` as a typed key; an int is a seed.

    Each call makes a new array, for a state may be donated and the key must outlive it.

    Raises:
      TypeError: ``key`` is a legacy uint32 key, a float or anything else.
    """
    if isinstance(key, Tracer):
        traced: Array = key
        return lambda: traced
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return lambda: jax.random.key(int(key))
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.shape != ():
            raise ValueError(f"{where}: key must be one key, got an array of shape {key.shape}.")
        with jax.ensure_compile_time_eval():  # a factory may be called while jit traces
            data, impl = np.asarray(jax.random.key_data(key)), jax.random.key_impl(key)
        return lambda: jax.random.wrap_key_data(jnp.array(data), impl=impl)
    raise TypeError(
        f"{where}: key must be a typed key or an int seed, got {key!r}. Write jax.random.key(0), "
        f"or jax.random.wrap_key_data(key) for a legacy uint32 key."
    )


def parameters(where: str, params: Any) -> None:
    """Refuses trees that an estimator cannot perturb.

    Raises:
      ValueError: ``params`` is None or holds no floating-point leaf.
      TypeError: a leaf is complex or a PRNG key.
    """
    if params is None:
        raise ValueError(f"{where}: params are needed; call update(updates, state, params, ...).")
    floating = False
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        dtype = jnp.result_type(leaf) if not hasattr(leaf, "dtype") else leaf.dtype
        if jnp.issubdtype(dtype, jax.dtypes.prng_key) or jnp.issubdtype(dtype, jnp.complexfloating):
            raise TypeError(
                f"{where}: parameter {jax.tree_util.keystr(path)} has dtype {dtype}; pass real "
                f"arrays only (for nnx modules: nnx.split(model, nnx.Param, ...))."
            )
        floating = floating or jnp.issubdtype(dtype, jnp.floating)
    if not floating:
        raise ValueError(f"{where}: params hold no floating-point leaf, so nothing can move.")


def next_count(count: Array) -> Array:
    """The step after ``count``, int32 [], which stays at its largest value."""
    return jnp.asarray(optax.safe_increment(count))


def at(value: ScalarOrSchedule, step: Array) -> Array:
    """The float32 value of a number or schedule at ``step``."""
    scalar = value(step) if callable(value) else value
    return jnp.asarray(scalar, jnp.float32)
