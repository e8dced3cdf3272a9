"""Writes a model in the format of transformers' PyTorch models, which others read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zojax.lm.models._class_architectures import class_architecture
from zojax.lm.models._language_model import Params
from zojax.lm.models._names import Place

MAX_SHARD_BYTES = 5 * 10**9
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Writer:
    """Writes weights and configuration; called with ``(params, folder)``.

    Attributes:
      places: The name of each weight in transformers' PyTorch model, and its place.
      config: The content of ``config.json``.
      generation_config: Text of ``generation_config.json``; None if the model has no such file.
    """

    places: Mapping[str, Place]
    config: Mapping[str, Any]
    generation_config: str | None

    def with_score(
        self, labels: Sequence[str], score: str, lm_head: str, padding: int | None
    ) -> Writer:
        """The writer of the model with a head of classes in place of its language-modelling head.

        Decoders become transformers' ``…ForSequenceClassification``. RoBERTa's class of that name
        has another head, so that the name of the architecture is then one of our own.

        Args:
          labels: The names of the classes.
          score, lm_head: The names of the two heads in the tree of parameters.
          padding: The id of the token that fills rows up.
        """
        places = {name: place for name, place in self.places.items() if place.path[0] != lm_head}
        places[f"{score}.weight"] = Place((score, "kernel"), None, True)
        names = {str(i): label for i, label in enumerate(labels)}
        config = {
            **self.config,
            "architectures": [class_architecture(self.config["model_type"])],
            "num_labels": len(labels),
            "id2label": names,
            "label2id": {label: int(i) for i, label in names.items()},
            "pad_token_id": padding,
            "problem_type": "single_label_classification",
        }
        return Writer(places, config, self.generation_config)

    def __call__(self, params: Params, folder: Path) -> None:
        """Write ``params``, shaped like the model's, into ``folder``."""
        from flax.traverse_util import flatten_dict

        leaves: dict[Any, Any] = flatten_dict(params)
        _remove_weights(folder)
        sizes = {
            name: leaves[place.path].nbytes
            // (1 if place.layer is None else len(leaves[place.path]))
            for name, place in self.places.items()
        }
        shards = _shards(sizes)
        for file, names in shards.items():
            save_tensors(
                {name: _tensor(leaves, self.places[name]) for name in names}, folder / file
            )
        if len(shards) > 1:
            index = {
                "metadata": {"total_size": sum(sizes.values())},
                "weight_map": {name: file for file, names in shards.items() for name in names},
            }
            _write_json(folder / f"{WEIGHTS}.index.json", index)
        dtype = str(jax.tree.leaves(params)[0].dtype)
        # transformers 4 reads torch_dtype, transformers 5 dtype.
        _write_json(folder / "config.json", {**self.config, "dtype": dtype, "torch_dtype": dtype})
        if self.generation_config is not None:
            (folder / "generation_config.json").write_text(self.generation_config, "utf-8")


def save_tensors(tensors: Mapping[str, np.ndarray], file: Path) -> None:
    """Write arrays in PyTorch's safetensors format."""
    from safetensors.numpy import save_file

    save_file(dict(tensors), file, metadata={"format": "pt"})


def _tensor(leaves: Mapping[Any, Any], place: Place) -> np.ndarray:
    leaf = leaves[place.path]
    tensor = np.asarray(leaf if place.layer is None else leaf[place.layer])
    return np.ascontiguousarray(tensor.T if place.transposed else tensor)


def _shards(sizes: Mapping[str, int]) -> dict[str, list[str]]:
    """The names of the weights in each file."""
    from huggingface_hub import split_state_dict_into_shards_factory

    split = split_state_dict_into_shards_factory(
        dict(sizes),  # pyright: ignore[reportArgumentType] - sizes stand for the tensors
        get_storage_size=lambda size: size,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=MAX_SHARD_BYTES,
    )
    return split.filename_to_tensors


def _remove_weights(folder: Path) -> None:
    """Remove an older model's weights, which would be read beside or instead of the new ones."""
    old: Iterable[Path] = (
        *folder.glob("model*.safetensors"),
        *folder.glob("model.safetensors.index.json"),
    )
    for file in old:
        file.unlink()


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
