"""What a model reads, without its weights: enough to make and to check its rows of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from zojax.lm.models import _gguf
from zojax.lm.models._config import read_config
from zojax.lm.models._families import family
from zojax.lm.models._files import config_file, resolve
from zojax.lm.models._required import require_packages
from zojax.lm.models._tokenizer import AnyTokenizer, read_tokenizer


class ModelInput(NamedTuple):
    """What a model reads; the attributes are those of :class:`LanguageModel`."""

    config: Any
    tokenizer: AnyTokenizer
    kind: Literal["causal", "masked"]
    max_length: int


def load_input(
    name_or_folder: str | Path, *, implementation: Literal["zojax", "transformers"] = "zojax"
) -> ModelInput:
    """Load a model's tokenizer and configuration, so that data can be checked before its weights.

    Args:
      name_or_folder, implementation: As for :func:`load`.

    Cost: reads no weights; where they are in a GGUF file, its header alone.

    Raises:
      ImportError, FileNotFoundError, ValueError: As for :func:`load`.
    """
    require_packages("load")
    if implementation == "transformers":
        from zojax.lm.models import _flax_load

        return ModelInput(*_flax_load.load_input(resolve(name_or_folder)))
    if files := _gguf.find_files(name_or_folder):
        config, tokenizer, _ = _gguf.read(files)
        source = str(files[0].parent)
    else:
        source = resolve(name_or_folder)
        config = read_config(config_file(source), source)
        family(config.model_type, source)
        tokenizer = read_tokenizer(source)
    kind = family(config.model_type, source)
    return ModelInput(config, tokenizer, kind.kind, kind.config(config).max_length)
