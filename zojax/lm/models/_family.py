"""What tells one family of models from another. Each family's file fills this record in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jax import Array

Path = tuple[str, ...]


def same_config(config: Any, _columns: int) -> Any:
    """Return ``config``: the module's memory does not depend on its longest sequence."""
    return config


@dataclass(frozen=True)
class Family:
    """How transformers' Flax classes of one family are called, and what they get wrong.

    Attributes:
      kind: ``"causal"`` or ``"masked"``.
      flax_class: Returns the transformers class with the language model's head.
      assumes: ``config -> {setting: values}``: the values of a setting that the Flax class
        computes as the model was trained; any other is refused.
      states: ``(module, input_ids, attention_mask, position_ids, init_cache=False) -> hidden``,
        a method for ``module.apply``.
      position_ids: ``(config, attention_mask) -> position_ids``, int32 like the mask.
      max_length: ``config -> columns`` that a row can have at most.
      embedding: Path of the token embedding [V, H].
      head: Path of the head's kernel [H, V] where it is not tied to the embedding.
      module_config: ``(config, columns) -> config`` for a module that sees this many columns.
      transform: ``(module, hidden) -> hidden`` before the head's kernel, a method for
        ``module.apply``.
      bias: Path of the bias [V] behind the head's kernel.
    """

    kind: Literal["causal", "masked"]
    flax_class: Callable[[], Any]
    assumes: Callable[[Any], Mapping[str, tuple[Any, ...]]]
    states: Callable[..., Array]
    position_ids: Callable[[Any, Array], Array]
    max_length: Callable[[Any], int]
    embedding: Path
    head: Path
    module_config: Callable[[Any, int], Any] = same_config
    transform: Callable[[Any, Array], Array] | None = None
    bias: Path | None = None

    def check(self, config: Any, source: str) -> None:
        """Refuse a configuration that the Flax class would silently compute otherwise.

        Raises:
          ValueError: Names the setting.
        """
        for name, values in self.assumes(config).items():
            value = getattr(config, name, values[0])
            if value not in values:
                raise ValueError(
                    f"load: {name} must be {' or '.join(map(repr, values))} for a model of the "
                    f"family {config.model_type}, got {value!r} in {source}: transformers' Flax "
                    "model knows nothing else. Choose another model."
                )


def activations() -> tuple[str, ...]:
    """Return the names of the activation functions that transformers' Flax models know."""
    from transformers.modeling_flax_utils import ACT2FN

    return tuple(ACT2FN)
