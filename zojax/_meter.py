"""Meters: they separate what an update measures from what it computes of that."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from zojax._types import Array

Kind: TypeAlias = Literal["slopes", "sign", "loss"]


class Measured(NamedTuple):
    """The scalars that an update needs besides keys, and the loss and aux of the step."""

    scalars: Array  # float32 [k]: slopes, 0 where they are not usable; or a sign, or a loss
    usable: Array  # bool [k]: whether a loss, and what was made of it, is finite
    value: Array  # float32 []: mean of the step's losses, whatever they are
    aux: Any = None  # of the step's first point; None where it is dropped


Measure: TypeAlias = Callable[[], Measured]


class Meter(Protocol):
    """Called between a link's losses and its update.

    Given to ``update`` as the extra argument ``meter``, it is asked by every link that evaluates
    ``value_fn``, in the order of the chain. It may call ``measure`` and record or change the
    result, or return what was measured before: then no loss is evaluated.
    """

    def __call__(self, kind: Kind, size: int, measure: Measure) -> Measured:
        """Give ``size`` scalars of a kind, and the loss."""
        ...
