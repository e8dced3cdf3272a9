"""The test functions: least where they say, 0 there, and more everywhere else."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zojax.gallery import FUNCTIONS

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_minimum_is_the_least_of_the_window(name: str):
    function = FUNCTIONS[name]
    minimum = jnp.array(function.minimum)
    assert function.value(minimum) == 0.0
    x, y = (np.linspace(*limits, 401, dtype=np.float32) for limits in function.limits)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    values = np.asarray(jax.vmap(function.value)(points))
    away = np.abs(points - function.minimum).max(axis=1) > 1e-3
    assert values[away].min() > 0
    nearest = points[np.argmin(values)]
    np.testing.assert_allclose(nearest, function.minimum, atol=0.1)


@pytest.mark.parametrize(
    ("name", "point", "value"),
    [
        ("absolute", (-2.5, 1.5), 4.0),
        ("absolute_rotated", (2.5, 0.0), 2.75),
        ("quadratic_rotated", (2.5, 0.0), 6.875),
        ("absolute_stretched", (0.5, -1.5), 1.55),
        # Its three terms by hand.
        ("beale", (0.0, 0.0), 1.5**2 + 2.25**2 + 2.625**2),
        ("beale", (1.0, 2.0), 2.5**2 + 5.25**2 + 9.625**2),
        # The paper's Rosenbrock squares y, not x.
        ("rosenbrock", (3.0, 2.0), 100 * 1**2 + 1),
    ],
)
def test_values_by_hand(name: str, point: tuple[float, float], value: float):
    np.testing.assert_allclose(FUNCTIONS[name].value(jnp.array(point)), value, rtol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_start_and_minimum_are_in_the_window(name: str):
    function = FUNCTIONS[name]
    for point in (function.start, function.minimum):
        for coordinate, (low, high) in zip(point, function.limits, strict=True):
            assert low < coordinate < high
