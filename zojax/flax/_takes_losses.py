"""The check that an optimizer is one of zojax's."""

from typing import Any

from zojax.estimators import estimator_states


def check_takes_losses(where: str, name: str, state: Any) -> None:
    """Refuses an optimizer without an estimator, by its state.

    Raises:
      ValueError: It takes gradients.
    """
    if not estimator_states(state):
        raise ValueError(
            f"{where}: {name} must begin with an estimator of zojax, such as zojax.mezo(...), got "
            f"one that takes gradients. Update it with those."
        )
