"""Writes a model in the layout that transformers reads."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from zojax.lm.models._family import Family
from zojax.lm.models._language_model import Params


@dataclass(frozen=True)
class Writer:
    """Writes weights and configuration; called with ``(params, folder)``.

    Attributes:
      family: The model's family.
      config: The configuration, as it was read.
      spare_head: Whether transformers' Flax class needs a separate head although the head is tied.
      generation_config: Text of ``generation_config.json``; None if the model has no such file.
    """

    family: Family
    config: Any
    spare_head: bool
    generation_config: str | None

    def __call__(self, params: Params, folder: Path) -> None:
        """Write ``params``, shaped like the model's, into ``folder``."""
        from flax.traverse_util import flatten_dict
        from safetensors.flax import save_file

        tensors: dict[str, Any] = flatten_dict(params, sep=".")
        if self.spare_head:
            embedding = tensors[".".join(self.family.embedding)]
            tensors[".".join(self.family.head)] = embedding.T
        save_file(tensors, folder / "model.safetensors", metadata={"format": "flax"})
        config = copy.deepcopy(self.config)
        config.dtype = str(jax.tree.leaves(params)[0].dtype)
        config.architectures = [self.family.flax_class().__name__.removeprefix("Flax")]
        config.save_pretrained(folder)
        if self.generation_config is not None:
            (folder / "generation_config.json").write_text(self.generation_config, "utf-8")
