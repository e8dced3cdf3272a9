"""A model's ``config.json``: read setting by setting, so that none is ignored unnoticed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Settings that do not change the logits: about training, generation, files and versions.
_IRRELEVANT = frozenset(
    {
        *("architectures", "auto_map", "dtype", "torch_dtype", "transformers_version"),
        *("_name_or_path", "_attn_implementation_autoset", "name_or_path", "model_type"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id"),
        *("forced_bos_token_id", "forced_eos_token_id", "prefix", "tokenizer_class"),
        *("initializer_range", "init_std", "use_cache", "cache_implementation", "pretraining_tp"),
        *("dropout", "activation_dropout", "attention_dropout", "layerdrop", "hidden_dropout_prob"),
        *("attention_probs_dropout_prob", "classifier_dropout", "gradient_checkpointing"),
        *(
            "id2label",
            "label2id",
            "num_labels",
            "problem_type",
            "finetuning_task",
            "task_specific_params",
        ),
        *("return_dict", "output_attentions", "output_hidden_states", "output_scores"),
        *(
            "return_dict_in_generate",
            "torchscript",
            "use_bfloat16",
            "tf_legacy_loss",
            "pruned_heads",
        ),
        *("chunk_size_feed_forward", "is_encoder_decoder", "tie_encoder_decoder"),
        *("max_length", "min_length", "do_sample", "early_stopping", "num_beams", "top_k", "top_p"),
        *("num_beam_groups", "diversity_penalty", "temperature", "typical_p", "length_penalty"),
        *("repetition_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"),
        *("bad_words_ids", "num_return_sequences", "remove_invalid_values", "suppress_tokens"),
        *("exponential_decay_length_penalty", "begin_suppress_tokens"),
        # Of programs that wrote or read the file.
        *("transformers.js_config", "unsloth_version", "unsloth_fixed", "use_flash_attn"),
        *("is_llama_config", "rope_interleaved", "language", "vocab_size_multiple"),
    }
)


@dataclass(frozen=True, eq=False)
class ModelConfig:
    """The content of a ``config.json``; its settings are attributes too.

    Attributes:
      values: Everything in the file.
      source: The model's folder, for messages.
    """

    values: Mapping[str, Any]
    source: str = "the configuration"

    def __getattr__(self, name: str) -> Any:
        """Return a setting of the file."""
        if name.startswith("__") or name not in self.values:
            raise AttributeError(f"The configuration of {self.source} has no {name}.")
        return self.values[name]


def check_heads(where: str, config: Any, devices: int) -> None:
    """Refuse a model whose attention heads cannot be shared out over ``devices``.

    Args:
      where: Name of the caller, for messages.
      config: The model's configuration, this package's or transformers'.
      devices: The size of the mesh's axis ``model``.

    Raises:
      ValueError: ``devices`` does not divide the number of its heads.
    """
    for name in ("num_attention_heads", "num_key_value_heads"):
        number = getattr(config, name, None)
        if number and number % devices:
            raise ValueError(
                f"{where}: the axis model of mesh must divide the model's {name}, {number}, got "
                f"{devices}: parts of heads would move between devices. Take a smaller axis model, "
                "or shard over fsdp."
            )


class Settings:
    """Reads a configuration, and knows at the end what was not read.

    Args:
      values: The content of ``config.json``.
      source: The model's folder, for messages.
    """

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        self.source = source
        self._values = values
        self._read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        """Return a setting that must be there."""
        value = self.get(name)
        if value is None:
            raise ValueError(f"load: {self.source}/config.json has no {name}.")
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, or ``default`` if it is missing or null."""
        self._read.add(name)
        value = self._values.get(name)
        return default if value is None else value

    def nullable(self, name: str, default: Any) -> Any:
        """Return a setting whose null means "none", or ``default`` if it is missing."""
        self._read.add(name)
        return self._values.get(name, default)

    def require(self, name: str, value: Any) -> None:
        """Refuse a setting that is neither missing nor ``value``, the only one supported."""
        found = self.get(name, value)
        if found != value:
            raise ValueError(
                f"load: {name} must be {value!r} for a model of the family "
                f"{self._values['model_type']}, got {found!r} in {self.source}. "
                "Choose another model."
            )

    def skip(self, *names: str) -> None:
        """Take settings as read: they repeat others, or are none of this kind of model's."""
        self._read.update(names)

    def check(self) -> None:
        """Refuse settings that were not read and could change the logits.

        Raises:
          ValueError: There are such settings; the message names them.
        """
        unknown = [
            name
            for name, value in self._values.items()
            if name not in self._read | _IRRELEVANT and value is not None and value is not False
        ]
        if unknown:
            shown = ", ".join(f"{name} = {self._values[name]!r}" for name in sorted(unknown))
            raise ValueError(
                f"load: {self.source}/config.json has settings that are not known for a model of "
                f"the family {self._values['model_type']}: {shown}. If one changes the function, "
                "choose another model; if it does not, remove it from the file."
            )


def read_config(file: Path, source: str) -> ModelConfig:
    """Read ``config.json``.

    Raises:
      ValueError: It is not a JSON object with a ``model_type``.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        values["model_type"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise ValueError(
            f"load: {file} must be a model's configuration, a JSON object with model_type, got "
            f"something else ({error!r})."
        ) from error
    return ModelConfig(values, source)
