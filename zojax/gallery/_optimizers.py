"""The optimizers of the gallery, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import optax

import zojax
from zojax._types import Array
from zojax.passes import GRADIENT, Passes, of_slopes, of_step

EPS = 1e-3
"""The perturbation scale of all zeroth-order optimizers here: the paper's for full fine-tuning."""


@dataclass(frozen=True)
class Optimizer:
    """A way to make an optimizer for a learning rate, and the cost of its step.

    Args:
      name: Its name on the command line and in results.
      make: ``make(learning_rate, key, steps)``; ``learning_rate`` is a traced float32 [], ``key`` a
        traced typed key [], ``steps`` the length of the run.
      first_order: Whether it gets the gradient; other optimizers only evaluate ``value_fn``.
      passes: The passes of a step, see :mod:`zojax.passes`. None means a gradient if
        ``first_order``, else one central difference.
    """

    name: str
    make: Callable[[Array, Array, int], optax.GradientTransformation]
    first_order: bool = False
    passes: Passes | None = None

    @property
    def cost(self) -> int:
        """The cost of a step, in forward passes."""
        return (self.passes or (GRADIENT if self.first_order else of_slopes())).cost


def _zo_adamu(learning_rate: Array, key: Array, steps: int) -> optax.GradientTransformation:
    return zojax.zo_adamu(learning_rate, eps=EPS, key=key, num_steps=steps)


def _first_order(name: str, make: Callable[[Array], optax.GradientTransformation]) -> Optimizer:
    return Optimizer(name, lambda rate, _key, _steps: make(rate), first_order=True)


OPTIMIZERS: Mapping[str, Optimizer] = MappingProxyType(
    {
        optimizer.name: optimizer
        for optimizer in (
            _first_order("adam", optax.adam),
            _first_order("adamax", optax.adamax),
            _first_order("rmsprop", optax.rmsprop),
            _first_order("lion", optax.lion),
            _first_order("sgd", optax.sgd),
            Optimizer("mezo", lambda rate, key, _: zojax.mezo(rate, eps=EPS, key=key)),
            Optimizer("zo_adamu", _zo_adamu),
            Optimizer("zo_adam", lambda rate, key, _: zojax.zo_adam(rate, eps=EPS, key=key)),
            Optimizer("zo_adamm", lambda rate, key, _: zojax.zo_adamm(rate, eps=EPS, key=key)),
            Optimizer(
                "zo_sgd_momentum",
                lambda rate, key, _: zojax.zo_sgd_momentum(rate, eps=EPS, key=key),
            ),
            Optimizer(
                "zo_sgd_sign", lambda rate, key, _: zojax.zo_sgd_sign(rate, eps=EPS, key=key)
            ),
            Optimizer(
                "zo_sgd_conservative",
                lambda rate, key, _: zojax.zo_sgd_conservative(rate, eps=EPS, key=key),
                passes=of_step("zo_sgd_conservative"),
            ),
            Optimizer(
                "forward_gradient_sgd",
                lambda rate, key, _: zojax.forward_gradient_sgd(rate, key=key),
                passes=of_step("forward_gradient_sgd"),
            ),
        )
    }
)
"""The optimizers by name. First-order optimizers are optax's and get the true gradient. All
settings except the learning rate are defaults; ZO-AdaMU's phases are the paper's, scaled to the
run's length."""
