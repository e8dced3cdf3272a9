"""The promises of gradient estimators, and their checks."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.flatten_util
import optax
from jax import lax

from zojax._types import Array
from zojax.testing._optimizer import MakeOptimizer, check_optimizer
from zojax.testing._problem import loss, parameters
from zojax.testing._promises import Suite, require_structure, require_unbiased, run

_DRAWS = 10_000


def check_estimator(
    make: MakeOptimizer, promises: Iterable[str] | None = None, *, learning_rate: float = 0.01
) -> None:
    """Check that an estimator keeps the promises that zojax's estimators keep.

    The mean estimate is taken over 10,000 steps on half the squared norm, after a first step that
    is not counted, because some estimators only evaluate a first loss in it. The loss is quadratic,
    so biases of order eps² vanish and are not detected.

    Args:
      make: Builds the estimator, a link to put first in a chain.
      promises: Some of :data:`ESTIMATOR_PROMISES`; None checks all of them, and also those of an
        optimizer, on the estimator followed by ``optax.sgd``.
      learning_rate: Learning rate of that ``optax.sgd``.

    Cost: that of :func:`check_optimizer`, and 10,000 steps on 41 parameters.

    Raises:
      BrokenPromiseError: An AssertionError that names the first broken promise, and how it fails.
      ValueError: ``promises`` contains an unknown promise.

    Examples:
      >>> import zojax, zojax.testing
      >>> make = lambda: zojax.spsa(1e-2, key=0, direction=zojax.Rademacher())
      >>> zojax.testing.check_estimator(make, ["have the gradient as its mean"])
    """
    run("check_estimator", _SUITE, make, promises)
    if promises is None:
        check_optimizer(lambda: optax.chain(make(), optax.sgd(learning_rate)))


def _gives_gradients(make: MakeOptimizer) -> None:
    for dtype in ("float32", "bfloat16"):
        params = parameters(dtype)
        tx = make()
        estimates, _ = jax.eval_shape(_estimate(tx), params, jax.eval_shape(tx.init, params))
        require_structure(params, estimates, "in the estimate")


def _is_unbiased(make: MakeOptimizer) -> None:
    params = parameters()
    tx = make()
    estimate = _estimate(tx)

    def draw(state: Any, _: None) -> tuple[Any, Array]:
        estimates, state = estimate(params, state)
        return state, _flat(estimates)

    _, draws = jax.jit(lambda state: lax.scan(draw, state, length=_DRAWS + 1))(tx.init(params))
    gradient = _flat(jax.grad(loss)(params))
    require_unbiased(draws[1:], gradient, "The mean of element", str)


def _estimate(tx: optax.GradientTransformation) -> Callable[[Any, Any], tuple[Any, Any]]:
    update = optax.with_extra_args_support(tx).update
    none: Any = None  # an estimator needs no gradient
    return lambda params, state: update(none, state, params, value_fn=loss)


def _flat(tree: Any) -> Array:
    return jax.flatten_util.ravel_pytree(tree)[0]


_SUITE: Suite = {
    "give gradients like the parameters": _gives_gradients,
    "have the gradient as its mean": _is_unbiased,
}
ESTIMATOR_PROMISES = tuple(_SUITE)
"""The promises that :func:`check_estimator` checks, besides :data:`OPTIMIZER_PROMISES`."""
