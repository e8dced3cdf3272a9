"""Slope rules by name, the same in the library and on the command line."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import optax

from zojax import _check
from zojax.slope_rules._clip import clip
from zojax.slope_rules._of_losses import LossRule
from zojax.slope_rules._ranks import ranks
from zojax.slope_rules._rms import rms
from zojax.slope_rules._sign import sign
from zojax.slope_rules._spread import spread
from zojax.slope_rules._z_scores import z_scores

SlopeRuleName: TypeAlias = Literal["sign", "clip", "rms", "spread", "ranks", "z_scores"]
SlopeRuleLike: TypeAlias = optax.GradientTransformation | SlopeRuleName

SLOPE_RULES: Mapping[SlopeRuleName, Callable[[], optax.GradientTransformation]] = {
    "sign": sign,
    "clip": clip,
    "rms": rms,
    "spread": spread,
    "ranks": ranks,
    "z_scores": z_scores,
}


def slope_rule_of(
    where: str, slope_rule: SlopeRuleLike | None
) -> optax.GradientTransformation | None:
    """A slope rule, given as one or by its name, or None.

    Raises:
      ValueError: There is none of that name.
      TypeError: It is something else.
    """
    if isinstance(slope_rule, str):
        _check.one_of(where, "slope_rule", slope_rule, SLOPE_RULES)
        return SLOPE_RULES[slope_rule]()
    if slope_rule is not None:
        _check.transformation(where, "slope_rule", slope_rule)
    return slope_rule


def check_rule_of_slopes(
    where: str, rule: optax.GradientTransformation | None, why: str
) -> optax.GradientTransformation | None:
    """The rule, unless it is one of losses: refuses that, and says why it cannot have them."""
    if isinstance(rule, LossRule):
        raise ValueError(  # noqa: TRY004 - a rule, but not one that can be used here
            f"{where}: slope_rule must be one of slopes, got one of losses (ranks or z_scores): "
            f'{why}. Use "spread" or "rms", or zojax.spsa.'
        )
    return rule
