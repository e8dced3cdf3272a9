"""Slope rules by name, the same in the library and on the command line."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import optax

from zojax import _check
from zojax.slope_rules._clip import clip
from zojax.slope_rules._rms import rms
from zojax.slope_rules._sign import sign
from zojax.slope_rules._spread import spread

SlopeRuleName: TypeAlias = Literal["sign", "clip", "rms", "spread"]
SlopeRuleLike: TypeAlias = optax.GradientTransformation | SlopeRuleName

SLOPE_RULES: Mapping[SlopeRuleName, Callable[[], optax.GradientTransformation]] = {
    "sign": sign,
    "clip": clip,
    "rms": rms,
    "spread": spread,
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
