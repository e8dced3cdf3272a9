"""What named optimizers hand on, as it came, to the estimator and to optax's rules."""

from collections.abc import Callable
from typing import Any, TypedDict

import optax

from zojax._types import Difference, Evaluation, ScalarOrSchedule
from zojax.directions import Direction
from zojax.streaming import HasAux


class SpsaOptions(TypedDict, total=False):
    """The options of :func:`zojax.spsa`."""

    num_queries: int
    direction: Direction
    difference: Difference
    evaluation: Evaluation
    batched: bool
    has_aux: HasAux


def scheduled(
    rule: Callable[..., optax.GradientTransformation],
    dtype: Any = None,
    **numbers: ScalarOrSchedule,
) -> optax.GradientTransformation:
    """``rule(**numbers)``, of which any may be a schedule.

    optax's rules take numbers. Its ``inject_hyperparams`` puts a schedule's value in their place,
    for some more scalars in the state, so it is there only where there is a schedule.

    Args:
      rule: From numbers to a link.
      dtype: That of the numbers where one is a schedule; the parameters' where None, which the
        rule's state then has too.
      numbers: By name.
    """
    if any(callable(number) for number in numbers.values()):
        return optax.inject_hyperparams(rule, hyperparam_dtype=dtype)(**numbers)
    return rule(**numbers)
