"""The names that are written again in a module that is read without jax."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from zojax import directions, sharding, slope_rules
from zojax.lm import settings


@pytest.mark.quick
@pytest.mark.parametrize(
    ("here", "there"),
    [
        (settings.DirectionName, directions.DirectionName),
        (settings.SlopeRuleName, slope_rules.SlopeRuleName),
        (settings.LayoutName, sharding.LayoutName),
    ],
)
def test_the_names_are_those_of_the_library(here: Any, there: Any):
    assert get_args(here) == get_args(there)
