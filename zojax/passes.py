"""The cost of a step in forward passes, used by training, comparisons, the gallery and planning.

A forward pass, which evaluates the loss of one batch, counts as 1. A backward pass counts as 2
more, because for each matrix product of the forward pass it computes two: the gradients of both
factors. Forward mode counts as 2 more for the same reason: each product has two products with
tangents. So a
step of ``mezo`` costs 2, a step of Adam 3, and a step of ``forward_gradient_sgd`` 3::

    zojax.passes.of_step("mezo", num_queries=4).cost   # 8
    zojax.passes.GRADIENT.cost                         # 3

The optimizer's own computations and the evaluations between steps are not counted.
"""

from __future__ import annotations

import dataclasses

FORWARD = 1
BACKWARD = 2
FORWARD_MODE = 2


@dataclasses.dataclass(frozen=True)
class Passes:
    """Numbers of passes over the model.

    Attributes:
      forward: Forward passes: the losses that are evaluated.
      backward: Backward passes, each of which follows one of the forward passes.
      forward_mode: How many of the forward passes also compute tangents.
    """

    forward: int = 0
    backward: int = 0
    forward_mode: int = 0

    @property
    def cost(self) -> int:
        """The cost of all passes, in forward passes."""
        return FORWARD * self.forward + BACKWARD * self.backward + FORWARD_MODE * self.forward_mode

    def __add__(self, other: Passes) -> Passes:
        """Add the numbers of passes."""
        return Passes(
            self.forward + other.forward,
            self.backward + other.backward,
            self.forward_mode + other.forward_mode,
        )


GRADIENT = Passes(forward=1, backward=1)
"""A gradient by back-propagation: the passes of a step of Adam or SGD."""


def of_slopes(num_queries: int = 1, difference: str = "central") -> Passes:
    """Count the passes of slopes along directions, by finite differences.

    Args:
      num_queries: Directions, q ≥ 1.
      difference: ``"central"``: two losses for each direction, 2q. ``"forward"``: one loss for each
        direction and one unperturbed loss, q + 1. ``"centred"``: one loss for each direction, q.

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
    optimizer: str,
    *,
    num_queries: int | None = None,
    difference: str | None = None,
    blocks: int = 1,
) -> Passes:
    """Count the passes of a step of a named optimizer.

    Args:
      optimizer: The name of one of zojax's optimizers, such as ``"mezo"``. A step with
        back-propagation takes :data:`GRADIENT`, whichever optimizer of optax uses the gradient.
      num_queries, difference: The optimizer's arguments; its defaults where they are not given.
      blocks: The number of blocks of ``zo_sgd_blockwise``; other optimizers ignore it.

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
    usual_queries, usual_difference = _USUAL.get(optimizer, (1, "central"))
    num_queries = usual_queries if num_queries is None else num_queries
    difference = difference or usual_difference
    _check_count("of_step", "num_queries", num_queries)
    _check_count("of_step", "blocks", blocks)
    if optimizer == "forward_gradient_sgd":
        return Passes(forward=num_queries, forward_mode=num_queries)
    if optimizer == "zo_sgd_blockwise":
        return Passes(forward=2 * blocks)
    slopes = of_slopes(num_queries, difference)
    # A conservative step also evaluates the loss at both candidates and at the current parameters.
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
    "es",
    "es_at_scale",
    "subzero",
    "subzero_plus",
    "lozo",
    "lozo_m",
    "zo_muon",
    "tezo",
)
# Queries and differences that are others than one and central.
_USUAL = {
    "subzero_plus": (50, "centred"),
    "zo_muon": (4, "forward"),
    "es": (16, "central"),  # pairs
    "es_at_scale": (30, "centred"),
}


def _check_count(where: str, name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{where}: {name} must be >= 1, got {value}.")
