"""Names of weights: a model's tree of parameters <-> transformers' PyTorch model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

Path = tuple[str, ...]

# A module's leaf -> its name in PyTorch. PyTorch's dense weights are [out, in].
LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}
_STACKED, _UNROLLED = "layers", "layers_"


class Place(NamedTuple):
    """Where a tensor of a file is in the tree of parameters.

    Attributes:
      path: The leaf.
      layer: The layer's number if the leaf is stacked, otherwise None.
      transposed: Whether the file's tensor is the transpose of the leaf's.
    """

    path: Path
    layer: int | None
    transposed: bool


class Names:
    """The names of a model's weights.

    Args:
      shapes: The shapes of the parameters, by path.
      modules: Paths of modules, with ``layers`` for any layer, -> names in transformers' model with
        ``{}`` for the layer's number.
    """

    def __init__(self, shapes: Mapping[Path, jax.ShapeDtypeStruct], modules: Mapping[str, str]):
        self._modules = modules
        self.places: dict[str, Place] = {}
        for path, leaf in shapes.items():
            transposed = path[-1] == "kernel"
            # RoBERTa's kernel is of another module than the bias of its head.
            exception = "/".join(path)
            module = (exception,) if exception in modules else path[:-1]
            for name, layer in self.of_module(module, leaf.shape[0]):
                tensor = f"{name}.{LEAVES[path[-1]]}"
                self.places[tensor] = Place(path, layer, transposed)

    def of_module(self, path: Path, layers: int) -> list[tuple[str, int | None]]:
        """The names of a module in transformers' model, one for each layer of a stacked one."""
        first, *others = path
        if first == _STACKED:
            name = self._modules["/".join(path)]
            return [(name.format(i), i) for i in range(layers)]
        if first.startswith(_UNROLLED):
            number = first.removeprefix(_UNROLLED)
            return [(self._modules["/".join((_STACKED, *others))].format(number), None)]
        return [(self._modules["/".join(path)], None)]


def flax_names(shapes: Mapping[Path, Any]) -> dict[str, Place]:
    """The places of the weights of transformers' Flax model, whose modules have PyTorch's names."""
    return {
        ".".join((*path[:-1], LEAVES[path[-1]])): Place(path, None, path[-1] == "kernel")
        for path in shapes
    }


def finder(places: Mapping[str, Place], base: str) -> Callable[[str], tuple[Place, bool] | None]:
    """Return ``name -> (place, whether the tensor is the leaf's transpose)``, or None if unknown.

    The name may be that of a Flax model, which ends in ``kernel``, ``scale`` or ``embedding``, and
    a checkpoint of a model without its head lacks the name of the base model.
    """

    def find(name: str) -> tuple[Place, bool] | None:
        module, _, leaf = name.rpartition(".")
        flax = leaf in LEAVES and leaf != "bias"
        torch_name = f"{module}.{LEAVES[leaf]}" if flax else name
        place = places.get(torch_name, places.get(f"{base}.{torch_name}"))
        return None if place is None else (place, place.transposed and not flax)

    return find
