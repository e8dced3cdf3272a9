"""Rules of optax of which a number may be a schedule."""

from collections.abc import Callable
from typing import Any

import optax

from zojax._types import ScalarOrSchedule


def scheduled(
    rule: Callable[..., optax.GradientTransformation],
    dtype: Any = None,
    **numbers: ScalarOrSchedule,
) -> optax.GradientTransformation:
    """``rule(**numbers)``, of which any may be a schedule.

    optax's rules take numbers. Its ``inject_hyperparams`` replaces them by a schedule's value and
    keeps some more scalars in the state, so it is used only where there is a schedule.

    Args:
      rule: From numbers to a link.
      dtype: That of the numbers where one is a schedule; the parameters' where None, which the
        rule's state then has too.
      numbers: By name.
    """
    if any(callable(number) for number in numbers.values()):
        return optax.inject_hyperparams(rule, hyperparam_dtype=dtype)(**numbers)
    return rule(**numbers)
