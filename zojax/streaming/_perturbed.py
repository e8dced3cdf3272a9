"""A weight that is perturbed at the operation that consumes it."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax.extend import core

from zojax._types import Array
from zojax.directions import LeafNoise, drawn, moved


@dataclasses.dataclass(frozen=True)
class View:
    """One operation on the shape or dtype of a weight, put off until the weight is consumed."""

    primitive: core.Primitive
    params: dict[str, Any]

    def __call__(self, x: Array) -> Array:
        return self.primitive.bind(x, **self.params)  # pyright: ignore[reportReturnType]


@dataclasses.dataclass(frozen=True)
class Perturbed:
    """θ + scale·z of one leaf, not yet computed.

    Attributes:
      weight: The parameter, any floating dtype; never written.
      noise: Its undrawn z.
      scale: float32 []: ±ε.
      large: Bytes from which a product with it is done in parts; None for never.
      views: Operations between the perturbed weight and what this stands for.
      differentiated: Whether the loss is differentiated with respect to the scale.
    """

    weight: Array
    noise: LeafNoise
    scale: Array
    large: int | None
    views: tuple[View, ...] = ()
    differentiated: bool = False

    def view(self, view: View) -> "Perturbed":
        return dataclasses.replace(self, views=(*self.views, view))

    def tied(self, values: list[Array]) -> tuple["Perturbed", list[Array]]:
        """The same weight, perturbed only once ``values`` are there; and the values."""
        noise, values = self.noise.tied(values)
        return dataclasses.replace(self, noise=noise), values

    def waiting(self, zero: Array) -> "Perturbed":
        """The same weight, perturbed only once ``zero`` is there, an int32 [] of 0."""
        return dataclasses.replace(self, noise=self.noise.waiting(zero))

    def beside(self, weight: Array) -> "Perturbed":
        """The same on the other side of a border between kinds of a mesh's axes.

        Args:
          weight: The parameter, there.
        """
        noise, scale = moved((self.noise, self.scale), weight)
        return dataclasses.replace(self, weight=weight, noise=noise, scale=scale)

    def value(self) -> Array:
        """The perturbed weight, in its own dtype, after the views."""
        return self.viewed(perturb(self.weight, drawn(self.noise, self.weight), self.scale))

    def axes(self) -> tuple[int, ...] | None:
        """Where each axis of what this stands for lies in the weight; None if it is unclear."""
        axes = tuple(range(self.weight.ndim))
        for view in self.views:
            if view.primitive.name == "transpose":
                axes = tuple(axes[axis] for axis in view.params["permutation"])
            elif view.primitive.name != "convert_element_type":
                return None
        return axes

    def viewed(self, x: Array) -> Array:
        for view in self.views:
            x = view(x)
        return x


def perturb(weight: Array, z: Array, scale: Array) -> Array:
    """Gives weight + scale·z, added in float32 or wider and rounded once to the weight's dtype."""
    sum_dtype = wide(weight.dtype)
    return (weight.astype(sum_dtype) + (scale * z).astype(sum_dtype)).astype(weight.dtype)


def wide(dtype: Any) -> Any:
    """The dtype in which a perturbation is added: float32, or float64 where the weight is."""
    return jnp.float64 if dtype == jnp.float64 else jnp.float32
