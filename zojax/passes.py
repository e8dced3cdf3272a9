"""What a step costs, in forward passes: one unit for training, comparisons, the gallery and plans.

A forward pass, the loss of one batch, is 1. A backward pass is 2 more: to each product of the
forward pass belong two, one for the gradient of either factor. Forward mode is 2 beside the 1 of
the pass whose tangents it carries, for the same reason. So a step of ``mezo`` is worth 2, one of
Adam 3, and one of ``forward_gradient_sgd`` 3::

    zojax.passes.of_step("mezo", num_queries=4).cost   # 8
    zojax.passes.GRADIENT.cost                         # 3

What an optimizer does with its estimate, and what is measured between steps, is not counted.
"""

from __future__ import annotations

import dataclasses

FORWARD = 1
BACKWARD = 2
FORWARD_MODE = 2


@dataclasses.dataclass(frozen=True)
class Passes:
    """Passes over the model.

    Attributes:
      forward: Losses that are evaluated.
      backward: Backward passes, which follow on as many of the forward ones.
      forward_mode: How many of the forward ones carry tangents along.
    """

    forward: int = 0
    backward: int = 0
    forward_mode: int = 0

    @property
    def cost(self) -> int:
        """How many forward passes they are worth."""
        return FORWARD * self.forward + BACKWARD * self.backward + FORWARD_MODE * self.forward_mode

    def __add__(self, other: Passes) -> Passes:
        """Both, one after the other."""
        return Passes(
            self.forward + other.forward,
            self.backward + other.backward,
            self.forward_mode + other.forward_mode,
        )


GRADIENT = Passes(forward=1, backward=1)
"""A gradient by back-propagation: a step of Adam, or of SGD."""


def of_slopes(num_queries: int = 1, difference: str = "central") -> Passes:
    """What slopes along directions take, by finite differences.

    Args:
      num_queries: Directions, q ≥ 1.
      difference: ``"central"``, both ends of each direction, 2q; ``"forward"``, one end of each and
        the middle that they share, q + 1; ``"centred"``, one end of each, q.

    Raises:
      ValueError: ``num_queries`` < 1, or ``difference`` is none of these.
    """
    _check_count("of_slopes", "num_queries", num_queries)
    losses = {"central": 2 * num_queries, "forward": num_queries + 1, "centred": num_queries}
    if difference not in losses:
        raise ValueError(
            f"of_slopes: difference must be one of {', '.join(losses)}, got {difference!r}."
        )
    return Passes(forward=losses[difference])


def of_step(
    optimizer: str, *, num_queries: int = 1, difference: str = "central", blocks: int = 1
) -> Passes:
    """What a step of a named optimizer takes.

    Args:
      optimizer: The name of one of zojax's, such as ``"mezo"``. A step by back-propagation is
        :data:`GRADIENT`, whatever optax makes of it.
      num_queries, difference: As the optimizer was given them.
      blocks: How many ``zo_sgd_blockwise`` estimates one after the other; others ignore it.

    Raises:
      ValueError: zojax has no such optimizer, or a number is < 1.

    Examples:
      >>> of_step("zo_adam", num_queries=3, difference="forward").cost
      4
      >>> of_step("forward_gradient_sgd").cost
      3
    """
    if optimizer not in _OPTIMIZERS:
        raise ValueError(
            f"of_step: optimizer must be one of {', '.join(_OPTIMIZERS)}, got {optimizer!r}."
        )
    _check_count("of_step", "num_queries", num_queries)
    _check_count("of_step", "blocks", blocks)
    if optimizer == "forward_gradient_sgd":
        return Passes(forward=num_queries, forward_mode=num_queries)
    if optimizer == "zo_sgd_blockwise":
        return Passes(forward=2 * blocks)
    slopes = of_slopes(num_queries, difference)
    # A conservative step is tried in both directions, and compared with staying.
    return slopes + Passes(forward=3) if optimizer == "zo_sgd_conservative" else slopes


_OPTIMIZERS = (
    "mezo",
    "zo_sgd",
    "zo_sgd_sign",
    "zo_sgd_momentum",
    "zo_sgd_conservative",
    "zo_sgd_blockwise",
    "zo_adam",
    "zo_adamm",
    "zo_adamu",
    "forward_gradient_sgd",
)


def _check_count(where: str, name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{where}: {name} must be >= 1, got {value}.")
