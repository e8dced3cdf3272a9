"""How to call transformers' Flax classes of one family; each family's file has one record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jax import Array

Path = tuple[str, ...]


@dataclass(frozen=True)
class FlaxFamily:
    """How to call transformers' Flax classes of one family, and which settings they support.

    Attributes:
      kind: ``"causal"`` or ``"masked"``.
      flax_class: Returns transformers' class of the model with its language-modelling head.
      assumes: ``config -> {setting: values}``: the values of a setting that the Flax class
        supports; other values are refused, because the class would silently ignore them.
      states: ``(module, input_ids, attention_mask, position_ids, init_cache=False) -> hidden``,
        a method for ``module.apply`` that returns the last hidden states.
      position_ids: ``(config, attention_mask) -> position_ids``, int32 like the mask.
      max_length: ``config -> columns``, the most columns of a row.
      embedding: Path of the token embedding [V, H].
      head: Path of the head's kernel [H, V] if it is not tied to the embedding.
      transform: ``(module, hidden) -> hidden``, a method for ``module.apply`` that is applied
        before the head's kernel.
      bias: Path of the bias [V] that is added after the head's kernel.
    """

    kind: Literal["causal", "masked"]
    flax_class: Callable[[], Any]
    assumes: Callable[[Any], Mapping[str, tuple[Any, ...]]]
    states: Callable[..., Array]
    position_ids: Callable[[Any, Array], Array]
    max_length: Callable[[Any], int]
    embedding: Path
    head: Path
    transform: Callable[[Any, Array], Array] | None = None
    bias: Path | None = None

    def check(self, config: Any, source: str) -> None:
        """Refuse a configuration with a setting that the Flax class would silently ignore.

        Raises:
          ValueError: A setting has an unsupported value; the message names it.
        """
        for name, values in self.assumes(config).items():
            value = getattr(config, name, values[0])
            if value not in values:
                raise ValueError(
                    f"load: {name} must be {' or '.join(map(repr, values))} for a model of the "
                    f"family {config.model_type}, got {value!r} in {source}: transformers' Flax "
                    "model supports no other value. Choose another model."
                )


def activations() -> tuple[str, ...]:
    """Return the names of the activation functions that transformers' Flax models support."""
    from transformers.modeling_flax_utils import ACT2FN

    return tuple(ACT2FN)
